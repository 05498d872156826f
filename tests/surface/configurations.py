"""The configurations that stand in documents and manifests: each is given to `rearguard check`, a part of one in a frame."""

import os
import re
import subprocess
import textwrap

import yaml

from commands import DOCUMENTS, ROOT

FRAME = ROOT / "config/minimal.yaml"
BLOCK = re.compile(r"^( *)```yaml\n(.*?)^\1```\n(?:\s*```text\n(.*?)^\s*```)?", re.M | re.S)


def probes_of(node):
    """The probes that rules name."""
    if isinstance(node, dict):
        yield from [node["probe"]] if "probe" in node else []
        for value in node.values():
            yield from probes_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from probes_of(value)


def frames(text):
    """The whole configurations that a part may be meant in: its own text, with everything else as in the smallest one."""
    text = textwrap.dedent(text)
    part, whole = yaml.safe_load(text), yaml.safe_load(FRAME.read_text())
    if "platforms" in part and "apps" in part:
        yield text
        return
    [app] = whole["apps"]
    if "platforms" in part:
        app["platform"] = part["platforms"][0]["name"]
    yield text + dump({key: value for key, value in whole.items() if key not in part})
    kept = {key: value for key, value in app.items() if key not in part and not (key == "rules" and "probes" in part)}
    if "probes" in kept:
        # Rules that are shown alone speak of probes that are not.
        named = dict.fromkeys([*probes_of(part), *part.get("depends_on", []), *probes_of(kept)])
        kept["probes"] = [{"name": name, "url": "https://checkout.example.com/"} for name in named]
    del whole["apps"]
    yield dump(whole) + "apps:\n" + textwrap.indent(dump([kept]), "  ") + textwrap.indent(text, "    ")


def dump(value):
    return yaml.safe_dump(value, sort_keys=False)


def words(text):
    """A text without its line ends and indents."""
    return " ".join(text.split())


class Checks:
    def __init__(self, ground):
        self.ground = ground
        self.bare = {name: value for name, value in os.environ.items() if not name.startswith("REARGUARD")}

    def check(self, text):
        """What is wrong with a configuration, what it warns of, and what is said of it."""
        file = self.ground.path / "shown.yaml"
        file.write_text(text)
        answer = subprocess.run(
            [self.ground.binary, "check", "--config", str(file)], capture_output=True, text=True, env=self.bare
        )
        # Secrets are not on this machine.
        warnings = [each for each in re.findall(r"WARNING: (.*)", answer.stdout + answer.stderr) if "read token" not in each]
        return answer.stderr if answer.returncode else "\n".join(warnings), answer.stdout

    def shown(self, text, said):
        """What is wrong with a block of a document."""
        tries = [self.check(whole) for whole in frames(text)]
        right = [out for wrong, out in tries if not wrong]
        if not right:
            return tries[-1][0]
        if said and not any(words(said) in words(out) for out in right):
            return f"check does not say: {said}"
        return ""


def hold(ground):
    """Gives what documents show that is not accepted."""
    checks, wrong, count, quoted = Checks(ground), [], 0, 0
    for document in DOCUMENTS:
        for _, text, said in BLOCK.findall(document.read_text()):
            count += 1
            quoted += bool(said)
            found = checks.shown(text, said)
            if found:
                wrong.append(f"{document.relative_to(ROOT)}: {text.splitlines()[0]} ...: {found}")
    files = [*sorted((ROOT / "deploy/kubernetes").glob("*/config.yaml"))]
    for file in files:
        found, _ = checks.check(yaml.safe_load(file.read_text())["data"]["rearguard.yaml"])
        if found:
            wrong.append(f"{file.relative_to(ROOT)}: {found}")
    assert count > 10, "the documents were not understood"
    print(f"{count} configurations in documents and {len(files)} in manifests are accepted; of {quoted} check says what is quoted")
    return wrong
