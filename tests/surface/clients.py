"""What can be tried of kubectl's and docker's commands without a cluster or an engine: that the client knows each word and option."""

import functools
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Where a command ends that is another program's.
OTHERS = {"--"}


def client(program):
    """Its path, or none."""
    own = ROOT / f"target/kubectl/bin/{program}"
    return str(own) if own.exists() else shutil.which(program)


@functools.cache
def says(*words):
    answer = subprocess.run(words, capture_output=True, text=True, timeout=60)
    return answer.stdout + answer.stderr if answer.returncode == 0 else ""


def options(program, words):
    """What the client says of a verb, with those below it, and of what all take; nothing where it knows none."""
    path, at = client(program), 1
    known = says(path, words[0], "--help")
    while at < len(words) and re.search(rf"^  {re.escape(words[at])} +\S", known, re.M):
        at += 1
        known = says(path, *words[:at], "--help")
    verb = re.search(rf"^Usage:\s+{program} {' '.join(words[:at])}\b(.*)", known, re.M)
    # A verb that is nothing without another one below it.
    if not verb or re.match(r" (SUBCOMMAND|COMMAND)\b", verb[1]):
        return ""
    return known + says(path, "options" if program == "kubectl" else "--help")


def wrong(program, command):
    """Options that its client does not know."""
    # Not by the rules of a shell: a quoted script with a `&&` comes here in parts.
    words = command.split()[1:]
    words = words[: next((at for at, word in enumerate(words) if word in OTHERS), len(words))]
    if program == "docker" and words[0] == "run":
        # After the image comes what it runs.
        image = next(at for at, word in enumerate(words) if word.startswith("registry.example.com/"))
        words = words[:image]
    # Options that are about all of it stand before the verb.
    verbs = words[2:] if words[0] == "-n" else words
    known = options(program, verbs)
    if not known:
        yield f"{program} knows no {verbs[:2]}"
    for word in words:
        name = word.partition("=")[0]
        if re.fullmatch(r"--[a-z][a-z-]*", name) and not re.search(rf"(?<![\w-]){name}(?![\w-])", known):
            yield f"{program} knows no {name}"
        if re.fullmatch(r"-[a-zA-Z]", name) and not re.search(rf"(?<![\w-]){name}(?![\w-])", known):
            yield f"{program} knows no {name}"
