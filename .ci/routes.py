"""What the shipped routes come to in a real Alertmanager: one cause is said once, and whoever is not behind it is still told of.

    python routes.py
"""

import json
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta

HERE = pathlib.Path(__file__).resolve().parent.parent
README = HERE / "deploy/README.md"
ROUTES = HERE / "deploy/prometheus/alertmanager.yaml"
DAEMON = {"job": "rearguard", "instance": "a"}
BLIND = [{"alertname": "RearguardBlind", "severity": "warning", "app": app, **DAEMON} for app in ("shop", "cart", "blog")]
ELSEWHERE = {"alertname": "RearguardBlind", "severity": "warning", "app": "mail", "job": "rearguard", "instance": "b"}
NOT_READY = {"alertname": "RearguardNotReady", "severity": "warning", "app": "shop", "reason": "denied", **DAEMON}
# Of an app that may be on another of the daemon's platforms.
NO_TARGET = NOT_READY | {"app": "blog", "reason": "no_target"}
# A cause, and what is not said beside it. No alert of another daemon's is ever kept back, and for a platform's none of the apps' that
# may be on another.
CASES = [
    ({"alertname": "RearguardTokenDenied", "severity": "critical", "platform": "cloud", **DAEMON}, [NOT_READY], [*BLIND, NO_TARGET]),
    ({"alertname": "RearguardPlatformFails", "severity": "warning", "platform": "cloud", **DAEMON}, [], [*BLIND, NOT_READY, NO_TARGET]),
    ({"alertname": "RearguardJournalNotWritable", "severity": "critical", **DAEMON}, [*BLIND, NOT_READY, NO_TARGET], []),
    ({"alertname": "RearguardDown", "severity": "critical", **DAEMON}, [*BLIND, NOT_READY, NO_TARGET], []),
    (
        {"alertname": "RearguardHeld", "severity": "critical", "app": "shop", **DAEMON},
        [NOT_READY, {"alertname": "RearguardPinnedTooLong", "severity": "warning", "app": "shop", **DAEMON}],
        [*BLIND, NO_TARGET],
    ),
]


def ask(url, body=None):
    request = urllib.request.Request(url, body and json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def until(what, found, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found():
                return
        except OSError:
            pass  # it does not listen yet
        time.sleep(0.1)
    raise SystemExit(f"{what} did not come")


def tell(api, alerts):
    ask(f"{api}/alerts", [{"labels": labels} for labels in alerts])


def of_causes(api):
    """What is kept back, and by what, beside each cause."""
    for cause, silent, told in CASES:
        told = [*told, cause, ELSEWHERE]
        tell(api, [*silent, *told])

        def kept():
            found = {json.dumps(one["labels"], sort_keys=True): one["status"]["inhibitedBy"] for one in ask(f"{api}/alerts")}
            return [bool(found[json.dumps(one, sort_keys=True)]) for one in [*silent, *told]]

        wanted = [True] * len(silent) + [False] * len(told)
        what = f"that {cause['alertname']} keeps back {[one['alertname'] for one in silent]} and nothing else"
        until(what, lambda: kept() == wanted)
        ended = [{"labels": cause, "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T00:00:01Z"}]
        ask(f"{api}/alerts", ended)
        until("its end", lambda: not any(one["status"]["inhibitedBy"] for one in ask(f"{api}/alerts")))


def documented(verb, api):
    """Runs the command by which deploy/README.md silences what is taken away on purpose, or ends that."""
    (block,) = re.findall(rf"^ *```sh\n *(amtool silence {verb} .*?)^ *```", README.read_text(), re.M | re.S)
    command = block.replace("http://alertmanager.example.com:9093", api.removesuffix("/api/v2"))
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, stdout=subprocess.DEVNULL)


def of_what_is_taken_away(api):
    """A namespace that is removed on purpose is silenced as it is documented, and no other one, until it is made again."""
    gone = [{"alertname": "RearguardDown", "severity": "critical", "job": "rearguard", "namespace": name} for name in ("preview-42", "shop")]
    # Where nothing is silenced, nothing ends.
    documented("query", api)
    documented("add", api)
    tell(api, gone)

    def silenced():
        found = {one["labels"].get("namespace"): bool(one["status"]["silencedBy"]) for one in ask(f"{api}/alerts")}
        return [found.get(one["namespace"]) for one in gone] == [True, False]

    until("that of the namespaces only the one that is named is silenced", silenced)
    (silence,) = ask(f"{api}/silences")
    lasts = datetime.fromisoformat(silence["endsAt"][:19]) - datetime.fromisoformat(silence["startsAt"][:19])
    # As long as the rule looks back, with what it takes to remove one.
    assert lasts > timedelta(hours=24, minutes=30), lasts
    documented("query", api)
    until("the end of the silence", lambda: not any(one["status"]["silencedBy"] for one in ask(f"{api}/alerts")))


def of_groups(api):
    """Many apps that are blind are one notice for each daemon."""
    groups = [group for group in ask(f"{api}/alerts/groups") if group["labels"]["alertname"] == "RearguardBlind"]
    sizes = sorted(len(group["alerts"]) for group in groups)
    assert sizes == [1, len(BLIND)], f"apps that are blind are told of in groups of {sizes}"


def main():
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        words = [f"--config.file={ROUTES}", f"--storage.path={folder}", f"--web.listen-address={address}", "--cluster.listen-address="]
        server = subprocess.Popen(["prometheus-alertmanager", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            api = f"http://{address}/api/v2"
            until("an Alertmanager", lambda: ask(f"{api}/status"))
            of_causes(api)
            of_groups(api)
            of_what_is_taken_away(api)
        finally:
            server.terminate()
            server.wait()
    print(f"in a real Alertmanager each of {len(CASES)} causes keeps back what it explains, and no more")


if __name__ == "__main__":
    main()
