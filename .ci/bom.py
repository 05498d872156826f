"""The parts list of a binary: valid by CycloneDX's strict schema, and what cargo compiles for that target.

    python bom.py BOM TARGET EXTRA...     EXTRA is what the binary carries and the list left out
"""

import json
import pathlib
import re
import subprocess
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def resolved(target):
    """What cargo says a binary is made of, build scripts and macros with it."""
    command = ["cargo", "tree", "--locked", "--target", target, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {f"pkg:cargo/{name}@{version}" for name, version in re.findall(r"^(\S+) v(\S+)", said, re.M)}


def main(path, target, *extra):
    text = pathlib.Path(path).read_text()
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong:
        raise SystemExit(f"{path} is no CycloneDX: {wrong}")
    bill = json.loads(text)
    listed = {bill["metadata"]["component"]["purl"]} | {component["purl"] for component in bill["components"]}
    if listed != resolved(target):
        raise SystemExit(f"in one of binary and cargo tree only: {sorted(listed ^ resolved(target))}")
    # Those of other targets and of a fuzzed build. Whatever else were left out would be missed.
    unknown = set(extra) - {"nothing"} - resolved("all")
    if unknown:
        raise SystemExit(f"the binary carries {sorted(unknown)}, which nothing asks for")
    bare = [component["purl"] for component in bill["components"] if not component.get("hashes") or not component["licenses"]]
    if bare or len(bill["dependencies"]) != len(listed):
        raise SystemExit(f"without digest or license: {bare}")
    count = sum(component["scope"] == "required" for component in bill["components"])
    print(f"{count} crates in the binary and {len(listed) - 1 - count} that built it: valid CycloneDX, and what cargo resolves")


if __name__ == "__main__":
    main(*sys.argv[1:])
