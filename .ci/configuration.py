"""docs/configuration.md, made of the schema that the binary prints, the ranges that it names, and the values in config/full.yaml.

    python configuration.py BINARY            compares
    python configuration.py BINARY --write    writes it anew
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

HERE = pathlib.Path(__file__).parent.parent
FULL = HERE / "config/full.yaml"
DOCUMENT = HERE / "docs/configuration.md"
HEAD = """# Configuration

Written by `.ci/configuration.py` from `rearguard schema`; do not edit it here.

Everything is in one YAML file: that of `--config`, else of `REARGUARD_CONFIG`, else `/etc/rearguard/rearguard.yaml`.
[config/minimal.yaml](../config/minimal.yaml) is the smallest useful one, [config/full.yaml](../config/full.yaml) has every
key. `rearguard check --config FILE` says what is wrong in it, all at once, with line, column and what is allowed; then
[what is reckoned from it](rules.md#what-would-be-noticed). `rearguard schema` prints the JSON Schema, for an editor.

* A *duration* is written as `30s`, `10m` or `1h 30m`; its units are `ms`, `s`, `m`, `h` and `d`. A *name* has letters, digits,
  `-` and `_`, at most 63.
* What is left out means the default. A key that does not exist is an error, and so is one that is there twice.
* No secret stands in the file. A key that ends in `_file` names a file with the secret alone in it, `_env` an environment
  variable. A relative name of a file is looked for in `$CREDENTIALS_DIRECTORY`, which is where systemd puts credentials, then in
  the current folder, in the configuration's, and in `credentials` beside that; the first one that is there counts.
* The file is read again when it changes, within ten seconds, and at SIGHUP. One that is wrong is refused whole, and what was
  in force stays so. `listen` and `state` are fixed while the daemon runs.
* What takes a right away counts at once, until the very moment in which a rollback is asked for: mode `observe`, mode or action
  `approve`, `accept_platform_choice: false`, an app that is left out. What was asked for by then is brought to its end. An app that
  is left out is not judged any more, and followed until nothing of ours is left or can still come about.

Ranges are those that `check` names. An example is the value in `config/full.yaml`. Where the default is empty there is none.
"""


def run(binary, *words):
    bare = {name: value for name, value in os.environ.items() if not name.startswith("REARGUARD")}
    return subprocess.run([binary, *words], capture_output=True, text=True, env=bare)


def steps(path):
    """The parts of `apps[0].probes[1].tls`, without their numbers."""
    return re.sub(r"\[\d+\]", "", path).split(".")


class Schema:
    """The sections of the document: each mapping once, where it stands first, in the order of the example."""

    def __init__(self, root):
        self.root = root
        self.examples = {}
        self.read("", root, yaml.safe_load(FULL.read_text()))
        self.sections = {}
        self.places = {}
        self.visit("", "", root)

    def read(self, owner, node, value):
        """The first value of each key in the example."""
        for key, inner in value.items():
            self.examples.setdefault((owner, key), inner)
            name, mapping = self.mapping(node["properties"][key])
            if name:
                for each in inner if isinstance(inner, list) else [inner]:
                    self.read(name, mapping, each)

    def keys(self, owner, node):
        """The keys of a mapping with their schemas, as the example has them; one that it lacks after its kin."""
        order = [key for place, key in self.examples if place == owner]

        def rank(each):
            kin = each[0].removesuffix("_env").removesuffix("_file")
            near = [place for place, key in enumerate(order) if each[0] == key or key.startswith(kin)]
            return near[0] + (each[0] not in order) / 2 if near else len(order)

        return sorted(node["properties"].items(), key=rank)

    def mapping(self, node):
        """The name and the schema of the mapping that a value is, or a list of."""
        node = node.get("items", node)
        if "$ref" not in node:
            return None, None
        name = node["$ref"].rpartition("/")[2]
        return name, self.root["$defs"][name]

    def visit(self, path, owner, node):
        inner = [(key, value, *self.mapping(value)) for key, value in self.keys(owner, node)]
        inner = [(f"{path}.{key}".lstrip(".") + ("[]" if "items" in value else ""), *rest) for key, value, *rest in inner if rest[0]]
        new = [each for each in inner if each[1] not in self.sections]
        for here, name, _ in inner:
            self.sections.setdefault(name, here)
            self.places.setdefault(name, []).append(here)
        for here, name, mapping in new:
            if self.sections[name] == here:
                self.visit(here, name, mapping)

    def find(self, path):
        """The mapping and the key that a path leads to."""
        owner, node = "", self.root
        *before, key = steps(path)
        for step in before:
            owner, node = self.mapping(node["properties"][step])
        return (owner, key) if key in node["properties"] else None


def ranges(binary, schema):
    """What the binary allows for durations and numbers, asked for by what is too much of everything."""
    text = FULL.read_text()
    spans = re.sub(r": (\d+(?:ms|[smhd]))( \d+s)?(?=[ ,}\n])", ": 99999d", text)
    numbers = re.sub(r": -?\d+(\.\d+)?(?=[ ,}\n])", ": 99999999999", text)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for wild in (spans, numbers):
            file = pathlib.Path(folder) / "wild.yaml"
            file.write_text(wild)
            said = run(binary, "check", "--config", str(file)).stderr
            for path, allowed in re.findall(r":\d+:\d+: (\S+): \S+ is out of range; allowed is ([^,\n]+)", said):
                place = schema.find(path)
                if place and allowed not in found.setdefault(place, []):
                    found[place].append(allowed)
    assert len(found) > 40, f"only {len(found)} ranges were named"
    return {place: " or ".join(each) for place, each in found.items()}


def code(text):
    return f"`{text}`"


def kind(node):
    """What a value is, in words."""
    if "items" in node:
        return f"list of {kind(node['items'])}"
    if "enum" in node:
        *others, last = map(code, node["enum"])
        return f"{', '.join(others)} or {last}" if others else last
    pattern = node.get("pattern", "")
    if pattern.startswith(r"^\s*\d+"):
        return "duration"
    if pattern.startswith("^[A-Za-z0-9_-]"):
        return "name"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`", "object": "mapping of texts"}
    return words.get(node.get("type"), "any value")


def alternatives(node):
    """Which keys exclude each other, or have to be there together."""
    for word, begin in (("oneOf", "Exactly one of"), ("anyOf", "At least one of")):
        told = []
        for each in node.get(word, []):
            one = " with ".join(map(code, each.get("required", [])))
            inner = [code(name) for other in each.get("anyOf", []) for name in other["required"]]
            one += f" and {' or '.join(inner)}" if inner else ""
            without = each.get("not", {}).get("required", [])
            one += f" (without {' and '.join(map(code, without))})" if without else ""
            told.append(one)
        if told:
            yield f"{begin}: {'; '.join(told)}."


def divide(description):
    """What a description says, and the default that ends it."""
    said, word, default = description.rpartition("Default: ")
    if not word or said.count("Default:"):
        return description, ""
    return said.strip(), default.rstrip(".")


def cells(owner, key, value, schema, allowed):
    """The row of a key, but for whether it has to be there."""
    name, _ = schema.mapping(value)
    said, default = divide(value.get("description", ""))
    assert said, f"{owner}.{key} has no description"
    what = kind(value)
    if name:
        what = ("list of " if "items" in value else "") + link(schema.sections[name])
    elif (owner, key) in allowed:
        what += f", {allowed[owner, key]}"
    example = schema.examples.get((owner, key))
    if example and not name:
        inner = isinstance(example, (list, dict))
        told = yaml.safe_dump({key: example}, default_flow_style=inner, width=1000, allow_unicode=True).strip()
        said += f" Example: `{told[1:-1] if inner else told}`"
    return [code(key), what, default, said]


def rows(owner, node, schema, allowed):
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for key, value in schema.keys(owner, node):
        row = cells(owner, key, value, schema, allowed)
        if key in node.get("required", []):
            row[2] = "**required**"
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def link(path):
    return f"[{path}]({anchor(path)})"


def anchor(path):
    return "#" + re.sub(r"[^\w-]", "", path.lower())


def document(binary):
    schema = Schema(json.loads(run(binary, "schema").stdout))
    allowed = ranges(binary, schema)
    lines = [HEAD]
    for name, path in {"": "The file", **schema.sections}.items():
        node = schema.root["$defs"][name] if name else schema.root
        also = [code(other) for other in schema.places.get(name, [])[1:]]
        lines += [f"## {code(path) if name else path}", "", node["description"] if name else "", ""]
        lines += [f"The same under {', '.join(also)}.", ""] if also else []
        lines += [*alternatives(node), ""] if any(alternatives(node)) else []
        lines += [*rows(name, node, schema, allowed), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def main(binary):
    made = document(binary)
    if "--write" in sys.argv:
        DOCUMENT.write_text(made)
    if not DOCUMENT.exists() or DOCUMENT.read_text() != made:
        raise SystemExit(f"{DOCUMENT} is not what {binary} says; write it with --write")
    print(f"{DOCUMENT.relative_to(HERE)}: what the schema says, with {made.count(chr(10) + '| `')} keys")


if __name__ == "__main__":
    main(sys.argv[1])
