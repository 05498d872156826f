"""The README's first start, as a user without rights and in a folder of that user's: all of its commands, up to a daemon that listens."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from commands import ROOT
from ground import wait_for

README = ROOT / "README.md"
NOBODY = 65534


def block():
    """The commands, without those that build and run it."""
    (found,) = [text for text in re.findall(r"^ *```sh\n(.*?)^ *```", README.read_text(), re.M | re.S) if "rearguard init" in text]
    lines = [line.strip() for line in found.splitlines()]
    assert lines[0].startswith("cargo install") and lines[-1].startswith("rearguard run "), lines
    return lines[1:-1], lines[-1].split()


def as_nobody():
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []


def hold(ground):
    """Gives what does not work as it stands there."""
    (commands, run), wrong = block(), []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copy(ground.binary, folder / "rearguard")
        (folder / "token").write_bytes((ground.path / "token").read_bytes())
        for path in folder, folder / "token":
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
        environment = {"PATH": f"{folder}:/usr/bin:/bin"}
        # A pipe of that user's own stands for what is typed. The lab is no platform's own address, and the port may be taken.
        text = "\n".join(commands).replace("rearguard init", f"rearguard init --api {ground.lab}")
        typed = ["bash", "-c", 'cat token | bash -euo pipefail -c "$0"', text]
        answer = subprocess.run([*as_nobody(), *typed], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        if answer.returncode:
            return [f"README.md: the first start ended with {answer.returncode}: {answer.stdout}{answer.stderr}"]
        file = folder / "rearguard.yaml"
        file.write_text(re.sub(r"^listen: \S+", "listen: 127.0.0.1:0", file.read_text(), flags=re.M))
        with open(folder / "log", "w") as log:
            daemon = subprocess.Popen([*as_nobody(), *run], cwd=folder, env=environment, stdout=log, stderr=log)
        said = lambda: (folder / "log").read_text()
        wait_for("a daemon that listens, or its end", lambda: "127.0.0.1:" in said() or daemon.poll() is not None)
        daemon.terminate()
        if daemon.wait(20) or not (folder / "rearguard.db").exists():
            wrong.append(f"README.md: the daemon of the first start: {said()}")
    print(f"the README's first start takes no rights{'' if as_nobody() else ', as this user'}")
    return wrong
