"""A lab, a daemon in front of it and the command line, all of the built binary, each on a port of its own."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

TOKEN = "a-token-for-the-tests"


def wait_for(what, until, seconds=40):
    """Waits for what `until` gives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = until()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"{what} did not come within {seconds} s")


def call(url, method="GET", body=None, token=None):
    """The status and the JSON of an answer."""
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


class Ground:
    """Everything, ended when the `with` ends. `platform` and `more` are further keys of the account and of everything."""

    def __init__(self, binary, mode="approve", platform="", more=""):
        self.binary = str(pathlib.Path(binary).resolve())
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        self.mode = mode
        self.platform = platform
        self.more = more
        self.processes = []

    def __enter__(self):
        lab = self.start("lab", "--listen", "127.0.0.1:0")
        said = ""
        while "Stop with" not in said:
            said += lab.stdout.readline()
        self.lab = re.search(r"api +(http://\S+)\n", said).group(1)
        app = re.search(r"app +shop, id (\S+)", said).group(1)
        token = re.search(r"token +(\S+)", said).group(1)
        self.write("admin", TOKEN)
        self.write("token", token)
        self.yaml = f"""
listen: 127.0.0.1:0
state: {self.path}/rearguard.db
admin_token_file: {self.path}/admin
platforms:
  - {{ name: cloud, kind: digitalocean, token_file: {self.path}/token, api: "{self.lab}", poll: 1s {self.platform} }}
control_probes: [{{ url: "{self.lab}/up" }}]
apps:
  - name: shop
    platform: cloud
    id: {app}
    mode: {self.mode}
    watch: 8s
    probes:
      - {{ name: home, url: "{self.lab}/sites/shop/healthz", period: 1s, watch_period: 500ms, burst: 250ms, timeout: 1s }}
    rules: [{{ name: down, probe: home, consecutive_failures: 3 }}]
    soak: {{ period: 6s, min_samples: 8 }}
    limits: {{ cooldown: 0s, max_rollbacks: 30, per: 24h }}
{self.more}
"""
        self.config = self.mount(self.yaml)
        self.guard()
        return self

    def guard(self):
        """Starts the daemon, with a log of its own. The process."""
        self.log = open(self.path / "log", "w+")
        self.daemon = self.start("run", "--config", str(self.config), "--log-format", "json", stderr=self.log)

        def address():
            found = re.search(r'"address":"([^"]+)"', (self.path / "log").read_text())
            return found and f"http://{found.group(1)}"

        self.url = wait_for("the daemon", address)
        return self.daemon

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(10)
        self.folder.cleanup()

    def start(self, *words, stderr=None):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REARGUARD")}
        process = subprocess.Popen(
            [self.binary, *words], stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
        )
        self.processes.append(process)
        return process

    def write(self, name, text):
        file = self.path / name
        file.write_text(text)
        file.chmod(0o600)

    def mount(self, text):
        """Puts the configuration in its place as a kubelet does: a new folder, and a link to it that is changed at once."""
        folder = self.path / "etc"
        version = folder / f"..{time.monotonic_ns()}"
        version.mkdir(parents=True)
        (version / "rearguard.yaml").write_text(text)
        (folder / "..next").symlink_to(version.name)
        (folder / "..next").rename(folder / "..data")
        if not (folder / "rearguard.yaml").is_symlink():
            (folder / "rearguard.yaml").symlink_to("..data/rearguard.yaml")
        return folder / "rearguard.yaml"

    def app(self):
        return call(f"{self.url}/api/v1/apps/shop")[1]

    def release(self, version, is_bad):
        body = {"version": version}
        if is_bad:
            body["health"] = {"bad": {"status": 500}}
        status, _ = call(f"{self.lab}/lab/apps/shop/releases", "POST", body)
        assert status < 300, status

    def until(self, what, test):
        return wait_for(what, lambda: (lambda app: test(app) and app)(self.app()))
