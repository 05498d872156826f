"""The commands that stand in documents, held against the binary: there are such, and those that only read are run. So are
the configurations in the manifests."""

import os
import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).parent.parent.parent
DOCUMENTS = ["docs/runbooks.md", "deploy/README.md"]
READING = {"status", "incidents", "explain", "check", "schema"}


def commands():
    """Each command once, with the document it stands in."""
    for document in DOCUMENTS:
        text = (ROOT / document).read_text()
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
        lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
        for line in dict.fromkeys(lines + spans):
            found = re.search(r"(?:^|\| |-- |[A-Z_]=\S+ )rearguard ([a-z].*)", line)
            if found:
                yield document, found[1].partition(" > ")[0].split()


def hold(ground):
    """Fails where a document says what the binary does not take."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REARGUARD")}
    environment["REARGUARD_CONFIG"] = str(ground.config)

    def run(*words):
        return subprocess.run([ground.binary, *words], capture_output=True, text=True, env=environment)

    wrong, tried, ran = [], 0, 0
    for document, words in commands():
        tried += 1
        told = run(words[0], "--help")
        for word in words[1:]:
            if word.startswith("--") and not re.search(rf"^ +{word.partition('=')[0]}\b", told.stdout, re.M):
                wrong.append(f"{document}: rearguard {' '.join(words)}: there is no {word}")
        if told.returncode:
            wrong.append(f"{document}: there is no rearguard {words[0]}")
        elif words[0] in READING:
            ran += 1
            server = [] if words[0] in ("check", "schema") else ["--server", ground.url]
            known = {"APP": "shop", "ID": "shop", "FILE": str(ground.config), "rearguard.yaml": str(ground.config)}
            answer = run(*(known.get(word, word) for word in words), *server)
            if answer.returncode:
                wrong.append(f"{document}: rearguard {' '.join(words)} ended with {answer.returncode}: {answer.stderr}")
    for file in sorted((ROOT / "deploy/kubernetes").glob("*/config.yaml")):
        (ground.path / "shipped.yaml").write_text(yaml.safe_load(file.read_text())["data"]["rearguard.yaml"])
        answer = run("check", "--config", str(ground.path / "shipped.yaml"))
        if answer.returncode:
            wrong.append(f"{file}: {answer.stderr}")
    if wrong:
        raise SystemExit("\n".join(wrong))
    assert ran > 5, "the documents were not understood"
    print(f"{tried} commands in {', '.join(DOCUMENTS)}: all of them are such, and {ran} were run")
