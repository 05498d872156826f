"""The back-up while it runs and the way back, by the commands of docs/operations.md; systemctl's are done by hand."""

import re
import shutil
import subprocess

from commands import JOURNAL, ROOT
from ground import TOKEN, call

OPERATIONS = ROOT / "docs/operations.md"


def blocks():
    """What backs up, and what restores."""
    section = OPERATIONS.read_text().partition("## Back up and restore")[2]
    found = re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)[:2]
    assert ".backup" in found[0] and "systemctl start" in found[1], found
    return found


def known(ground):
    """Incidents, and whether a person has paused."""
    incidents = call(f"{ground.url}/api/v1/incidents")[1]["incidents"]
    return [each["id"] for each in incidents], ground.app()["paused"]


def hold(ground):
    """Gives what does not work as it stands there."""
    if not shutil.which("sqlite3"):
        return []  # said where its commands are run
    journal, copy = ground.path / "rearguard.db", ground.path / "copy.db"

    def run(block):
        text = block.replace("/var/backups/rearguard.db", str(copy)).replace(JOURNAL, str(journal))
        answer = subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, timeout=60)
        if answer.returncode:
            raise SystemExit(f"{OPERATIONS}: {block}: {answer.stdout}{answer.stderr}")
        return answer.stdout

    back_up, restore = blocks()
    if run(back_up) != "ok\n":
        return [f"{OPERATIONS}: the copy is not sound"]
    before = known(ground)
    call(f"{ground.url}/api/v1/apps/shop/pause", "POST", {}, TOKEN)
    assert known(ground) != before, "what happens after the copy shows"
    lines = restore.splitlines()
    assert [lines[0], lines[-1]] == ["systemctl stop rearguard", "systemctl start rearguard"], lines
    daemon = ground.processes[1]
    daemon.terminate()
    daemon.wait(20)
    run("\n".join(lines[1:-1]))
    ground.guard()
    ground.until("the app", lambda app: app.get("live_deployment"))
    wrong = [] if known(ground) == before else [f"{OPERATIONS}: {before} was restored to {known(ground)}"]
    if journal.stat().st_mode & 0o777 != 0o600:
        wrong.append(f"{OPERATIONS}: others can read the journal that was restored")
    print("backed up while it ran, and restored, by the commands of the documents")
    return wrong
