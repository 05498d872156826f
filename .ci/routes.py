"""What the shipped routes come to in a real Alertmanager: one cause is said once, and whoever is not behind it is still told of.

    python routes.py
"""

import json
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent.parent
ROUTES = HERE / "deploy/prometheus/alertmanager.yaml"
DAEMON = {"job": "rearguard", "instance": "a"}
BLIND = [{"alertname": "RearguardBlind", "severity": "warning", "app": app, **DAEMON} for app in ("shop", "cart", "blog")]
ELSEWHERE = {"alertname": "RearguardBlind", "severity": "warning", "app": "mail", "job": "rearguard", "instance": "b"}
NOT_READY = {"alertname": "RearguardNotReady", "severity": "warning", "app": "shop", "reason": "denied", **DAEMON}
# A cause, and what is not said beside it. No alert of another daemon's is ever kept back.
CASES = [
    ({"alertname": "RearguardTokenDenied", "severity": "critical", "platform": "cloud", **DAEMON}, [*BLIND, NOT_READY]),
    ({"alertname": "RearguardPlatformFails", "severity": "warning", "platform": "cloud", **DAEMON}, [*BLIND, NOT_READY]),
    ({"alertname": "RearguardJournalNotWritable", "severity": "critical", **DAEMON}, [*BLIND, NOT_READY]),
    ({"alertname": "RearguardDown", "severity": "critical", **DAEMON}, [*BLIND, NOT_READY]),
    (
        {"alertname": "RearguardHeld", "severity": "critical", "app": "shop", **DAEMON},
        [NOT_READY, {"alertname": "RearguardPinnedTooLong", "severity": "warning", "app": "shop", **DAEMON}],
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
    for cause, silent in CASES:
        tell(api, [cause, *silent, ELSEWHERE])

        def kept():
            found = {json.dumps(one["labels"], sort_keys=True): one["status"]["inhibitedBy"] for one in ask(f"{api}/alerts")}
            return all(found[json.dumps(one, sort_keys=True)] for one in silent) and not found[json.dumps(ELSEWHERE, sort_keys=True)]

        until(f"that {cause['alertname']} keeps back {[one['alertname'] for one in silent]} and nobody else's", kept)
        ended = [{"labels": cause, "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T00:00:01Z"}]
        ask(f"{api}/alerts", ended)
        until("its end", lambda: not any(one["status"]["inhibitedBy"] for one in ask(f"{api}/alerts")))


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
        finally:
            server.terminate()
            server.wait()
    print(f"in a real Alertmanager each of {len(CASES)} causes is said once")


if __name__ == "__main__":
    main()
