"""The parts list of a built binary, as CycloneDX, out of what the binary itself carries (it is built by `cargo auditable`).

    python3 deploy/sbom.py BINARY TARGET > rearguard.cdx.json

What it carries is a little more than what it is made of: a crate that tests need too is counted where Cargo.toml names it for
another target or `cfg`. Such crates are left out here, by what cargo resolves for TARGET, and told on the standard error.

Digests of the crates are those of Cargo.lock, licenses those that the crates state. The same binary gives the same text: it has
no time in it, and its serial number is made of the binary's digest.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import uuid
import zlib

HERE = pathlib.Path(__file__).resolve().parent.parent


def carried(binary):
    """Packages that the binary says it is made of; `dependencies` are places in the same list."""
    with tempfile.NamedTemporaryFile() as section:
        command = ["objcopy", "--output-target=binary", "--only-section=.dep-v0", "--set-section-flags=.dep-v0=alloc", binary, section.name]
        subprocess.run(command, check=True)
        packed = pathlib.Path(section.name).read_bytes()
    if not packed:
        raise SystemExit(f"{binary} does not say what it is made of: build it with `cargo auditable build`")
    return json.loads(zlib.decompress(packed))["packages"]


def resolved(target):
    """What cargo compiles for that target, with what builds it."""
    command = ["cargo", "tree", "--locked", "--target", target, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
    said = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {f"pkg:cargo/{name}@{version}" for name, version in re.findall(r"^(\S+) v(\S+)", said, re.M)}


def stated():
    """Of each package by name and version: its license, and its rust-version."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    found = json.loads(subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    return {(package["name"], package["version"]): package for package in found}


def checksums():
    locked = tomllib.loads((HERE / "Cargo.lock").read_text())["package"]
    return {(package["name"], package["version"]): package.get("checksum") for package in locked}


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, license, checksum):
    """A build dependency ran on the machine that built it and is not in the binary."""
    found = {
        "type": "application" if package.get("root") else "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
        "licenses": [{"expression": license.replace("/", " OR ")}],
    }
    if not package.get("root"):
        found["scope"] = "excluded" if package.get("kind") == "build" else "required"
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def bill(binary, target):
    known, crates, digests = carried(binary), stated(), checksums()
    wanted = resolved(target)
    packages = [package for package in known if reference(package) in wanted]
    extra = sorted(reference(package) for package in known if reference(package) not in wanted)
    print(f"carried, and not compiled for {target}: {' '.join(extra) or 'nothing'}", file=sys.stderr)
    digest = hashlib.sha256(pathlib.Path(binary).read_bytes()).hexdigest()

    def made(package, checksum=None):
        key = package["name"], package["version"]
        return component(package, crates[key]["license"], checksum or digests[key])

    (root,) = [package for package in packages if package.get("root")]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, digest).urn,
        "version": 1,
        "metadata": {"component": made(root, digest)},
        "components": [made(package) for package in packages if not package.get("root")],
        "dependencies": [
            {"ref": reference(package), "dependsOn": sorted(wanted & {reference(known[each]) for each in package.get("dependencies", [])})}
            for package in packages
        ],
    }


if __name__ == "__main__":
    json.dump(bill(*sys.argv[1:]), sys.stdout, indent=1)
    print()
