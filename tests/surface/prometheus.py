"""A real Prometheus scrapes a daemon through an incident: alerts fire and end, and whatever the rules and the dashboard ask for is there.

    python prometheus.py BINARY

Its rules are those of deploy/prometheus with each minute made a second.
"""

import http.server
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

import expressions
from ground import TOKEN, Ground, call, wait_for

SECONDS = {"ms": "ms", "s": "ms", "m": "s", "h": "m", "d": "h"}


def faster(text):
    """The same rules, each minute of them a second."""
    quick = lambda found: re.sub(r"(\d+)(ms|[smhd])", lambda one: one[1] + SECONDS[one[2]], found[0])
    text = re.sub(r"\[\d+[smhd]\]|\boffset \d+[smhd]\b", quick, text)
    text = re.sub(r"^( +(?:for|interval): )\S+$", quick, text, flags=re.M)
    return text.replace("30h]", "30m]")


class Prometheus:
    """A server of the ground's, which ends it."""

    def __init__(self, ground):
        (ground.path / "rules.yaml").write_text(faster(expressions.RULES.read_text()))
        (ground.path / "prometheus.yaml").write_text(
            "global: { scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }\n"
            "rule_files: [rules.yaml]\n"
            f"scrape_configs: [{{ job_name: rearguard, static_configs: [{{ targets: ['{ground.url.removeprefix('http://')}'] }}] }}]\n"
        )
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        words = [f"--config.file={ground.path}/prometheus.yaml", f"--storage.tsdb.path={ground.path}/tsdb"]
        log = open(ground.path / "prometheus.log", "w")
        process = subprocess.Popen(["prometheus", *words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        ground.processes.append(process)
        wait_for("Prometheus", lambda: self.get("/-/ready", as_text=True))

    def get(self, path, as_text=False, **query):
        try:
            if as_text:
                return urllib.request.urlopen(f"{self.url}{path}", timeout=15).read()
            return call(f"{self.url}{path}?{urllib.parse.urlencode(query)}")[1]["data"]
        except OSError:
            return None

    def firing(self):
        """The names of what fires."""
        alerts = self.get("/api/v1/alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def until(self, what, test, seconds=60):
        """Waits for the alerts to be so; the last ones otherwise."""
        seen = set()

        def now():
            seen.clear()
            seen.update(self.firing())
            return test(seen)

        try:
            wait_for(what, now, seconds)
        except SystemExit as late:
            raise SystemExit(f"{late}; what fires is {sorted(seen)}") from None
        print(f"{what}: {', '.join(sorted(seen)) or 'nothing'} fires")

    def series(self, name):
        """The label sets of a metric."""
        return self.get("/api/v1/series", **{"match[]": name}) or []


def free_port():
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        return server.server_port


class Takes(http.server.BaseHTTPRequestHandler):
    """A webhook that takes everything."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def lint(ground):
    """What promtool says of the metrics."""
    text = urllib.request.urlopen(f"{ground.url}/metrics", timeout=15).read()
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    if said.returncode or said.stdout or said.stderr:
        raise SystemExit(f"promtool complains of the metrics: {said.stdout}{said.stderr}")
    return set(re.findall(r"^# TYPE (rearguard_\w+)", text.decode(), re.M))


def hold_expressions(prometheus, names):
    """Whatever is asked for is there, and whatever there is is asked for."""
    asked = [*expressions.of_rules(), *expressions.of_dashboard()]
    cache = {}
    series = lambda name: cache.setdefault(name, prometheus.series(name))
    found = [what for where, text in asked for what in expressions.wrong(where, text, series)]
    found += [f"neither a rule nor the dashboard has {name}" for name in expressions.unused(names)]
    for where, text in asked:
        if prometheus.get("/api/v1/query", query=text) is None:
            found.append(f"{where}: Prometheus does not take {text}")
    if found:
        raise SystemExit("\n".join(found))
    print(f"{len(asked)} expressions of rules and dashboard, all of them on what {len(names)} families have")


def main(binary):
    port = free_port()
    channel = f"notify: [{{ name: ops, kind: webhook, url: 'http://127.0.0.1:{port}/' }}]"
    with Ground(binary, platform=", balance: 6h", more=channel) as ground:
        prometheus = Prometheus(ground)
        ground.until("a steady app", lambda app: app["state"] == "steady")
        prometheus.until("an app that is steady", lambda firing: not firing)

        # Nobody is told of what follows until somebody listens.
        ground.release("v2", is_bad=True)
        prometheus.until("a rollback that waits", lambda firing: firing == {"RearguardAwaitingApproval"})
        prometheus.until("a channel that is dead", lambda firing: "RearguardNotificationsFail" in firing)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Takes)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        prometheus.until("a channel that lives", lambda firing: firing == {"RearguardAwaitingApproval"})

        status, _ = call(f"{ground.url}/api/v1/incidents/{ground.app()['incident']}/approve", "POST", {}, TOKEN)
        assert status < 300, status
        prometheus.until("a rollback that is approved", lambda firing: "RearguardAwaitingApproval" not in firing)
        prometheus.until("a rollback that is over", lambda firing: "RearguardRolledBack" in firing)
        prometheus.until("what came of it", lambda firing: not firing)
        hold_expressions(prometheus, lint(ground))

        # As a ConfigMap that is replaced by a wrong one, and put right.
        ground.mount("nonsense: true\n")
        prometheus.until("a wrong configuration", lambda firing: firing == {"RearguardConfigReloadFailed"})
        ground.mount(ground.yaml.replace("consecutive_failures: 3", "consecutive_failures: 5"))
        prometheus.until("a right one", lambda firing: not firing)
        ground.until("what it says", lambda app: app["rules"][0]["threshold"] == 5)

        daemon = ground.processes[1]
        daemon.kill()
        prometheus.until("a daemon that is dead", lambda firing: firing == {"RearguardDown"})
    print("a real Prometheus told of an incident, a dead channel, a wrong configuration and a dead daemon")


if __name__ == "__main__":
    if not shutil.which("prometheus") or not shutil.which("promtool"):
        print("SKIPPED: no Prometheus to scrape with; install the package prometheus")
    else:
        began = time.monotonic()
        main(sys.argv[1])
        print(f"after {time.monotonic() - began:.0f} s")
