"""The shipped unit under a systemd that runs: the first process of a container made of this machine's /usr and nothing else.

    systemd.py BINARY

Skipped, with a line that says why, where no such container can be had.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

DEPLOY = pathlib.Path(__file__).parent.parent.parent / "deploy"
UNIT = DEPLOY / "systemd/rearguard.service"
POSTINST = DEPLOY / "debian/postinst"
README = DEPLOY / "README.md"
OPERATIONS = DEPLOY.parent / "docs/operations.md"
SERVICE = "rearguard.service"
LAB = "127.0.0.1:8080"
TOKEN = "a-token-for-the-tests"
# Sooner than in the shipped unit, so that a test can wait for it.
WATCHDOG = 5
# After this long without a round a loop stands still (src/daemon/backend.rs).
LOOP_WITHIN = 60

CONFIG = """
listen: 127.0.0.1:9797
admin_token_file: $CREDENTIALS_DIRECTORY/admin-token
platforms:
  - {{ name: cloud, kind: digitalocean, token_file: do-token, api: "http://{lab}", poll: 1s }}
  - {{ name: sevalla, kind: sevalla, token_file: sevalla-token, api: "http://{lab}/v3", poll: 5s }}
control_probes: [{{ url: "http://{lab}/up" }}]
notify: [{{ name: ops, kind: webhook, only: [held], url_file: hook-url, secret_file: hook-secret }}]
apps:
  - name: blog
    platform: sevalla
    id: {blog}
    mode: observe
    probes: [{{ name: home, url: "http://{lab}/sites/blog/" }}]
    rules: [{{ name: down, probe: home, consecutive_failures: 3 }}]
  - name: shop
    platform: cloud
    id: {app}
    mode: {mode}
    watch: 30m
    probes:
      - {{ name: home, url: "http://{lab}/sites/shop/healthz", period: 1s, watch_period: 500ms, burst: 250ms, timeout: 1s }}
    rules: [{{ name: down, probe: home, consecutive_failures: 3 }}]
    soak: {{ period: 6s, min_samples: 8 }}
"""


class Skipped(Exception):
    """Why there is no container."""


def wait_for(what, until, seconds=40):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = until()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not come within {seconds} s")


class Container:
    """A machine of its own with a systemd, ended when the `with` ends. It has no network but its loopback."""

    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory(prefix="rearguard-systemd-")
        self.root = pathlib.Path(self.folder.name) / "root"
        self.usr = pathlib.Path(self.folder.name) / "usr"
        self.binary = binary

    def __enter__(self):
        if not shutil.which("systemd-nspawn"):
            raise Skipped("there is no systemd-nspawn")
        if os.geteuid() != 0:
            raise Skipped("a container takes root")
        self.lay_out()
        # The container's manager says here that it is up, and which process it is.
        news = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        news.bind(str(self.root.parent / "news"))
        news.settimeout(60)
        self.said = open(self.root.parent / "said", "w+")
        words = ["systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine=rearguard-{os.getpid()}"]
        words += ["--register=no", "--keep-unit", "--private-network", "--notify-ready=yes", "--console=pipe"]
        words += [f"--overlay-ro=/usr:{self.usr}:/usr", "--boot"]
        environment = os.environ | {"NOTIFY_SOCKET": news.getsockname(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said, env=environment
        )
        try:
            self.leader = self.until_up(news)
        except Skipped:
            self.__exit__()
            raise
        return self

    def until_up(self, news):
        leader = None
        deadline = time.monotonic() + 60
        news.settimeout(1)
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(TimeoutError):
                message = news.recv(4096).decode()
                leader = next(iter(re.findall(r"X_NSPAWN_LEADER_PID=(\d+)", message)), leader)
                if leader and "READY=1" in message:
                    return leader
        text = pathlib.Path(self.said.name).read_text().strip().splitlines()
        raise Skipped(f"no systemd starts in a container here: {text[-1] if text else 'it says nothing'}")

    def __exit__(self, *_):
        # As a machine is switched off.
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.said.close()
        self.folder.cleanup()

    def lay_out(self):
        for name in ["usr/lib", "etc/systemd/system", "etc/rearguard", "var", "tmp", "root", "run", "proc", "sys", "dev"]:
            (self.root / name).mkdir(parents=True)
        for name in ["bin", "sbin", "lib", "lib64"]:
            (self.root / name).symlink_to(f"usr/{name}")
        shutil.copy("/usr/lib/os-release", self.root / "usr/lib")
        self.write("etc/machine-id", "")
        self.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n")
        self.write("etc/group", "root:x:0:\nnogroup:x:65534:\n")
        self.write("etc/nsswitch.conf", "passwd: files systemd\ngroup: files systemd\n")
        (self.root / "etc/ssl/certs").mkdir(parents=True)
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", self.root / "etc/ssl/certs")
        shutil.copy(UNIT, self.root / "etc/systemd/system")
        (self.usr / "bin").mkdir(parents=True)
        shutil.copy(self.binary, self.usr / "bin/rearguard")
        # What debhelper puts in the place of its mark.
        invoked = f'systemctl daemon-reload\n[ -z "$2" ] || systemctl --quiet try-restart {SERVICE} >/dev/null 2>&1 || true'
        self.write("root/postinst", POSTINST.read_text().replace("#DEBHELPER#", invoked), 0o755)

    def write(self, name, text, mode=0o644):
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def read(self, name):
        """A file as the container has it, with what is mounted there; nothing where there is none yet."""
        file = pathlib.Path(f"/proc/{self.leader}/root/{name}")
        return file.read_text() if file.exists() else ""

    def run(self, *words, may_fail=False):
        """What a command says there, standard output first."""
        enter = ["nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        ended = subprocess.run([*enter, *words], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert may_fail or ended.returncode == 0, f"{words} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}"
        return ended.stdout + ended.stderr

    def shows(self, *properties):
        said = self.run("systemctl", "show", SERVICE, *(f"-p{name}" for name in properties))
        shown = dict(line.split("=", 1) for line in said.splitlines())
        return [shown[name] for name in properties]

    def pid(self):
        """The daemon, as this machine numbers it."""
        (theirs,) = self.shows("MainPID")
        space = os.readlink(f"/proc/{self.leader}/ns/pid")
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            # Processes come and go.
            with contextlib.suppress(OSError):
                numbers = re.search(r"^NSpid:(.*)$", (process / "status").read_text(), re.M).group(1).split()
                if numbers[-1] == theirs and os.readlink(process / "ns/pid") == space:
                    return int(process.name)
        raise AssertionError(f"no process {theirs}")

    def log(self):
        return self.run("journalctl", "-q", "-o", "cat", "-u", SERVICE)

    def app(self, name="shop"):
        return self.run("/usr/bin/rearguard", "status", name, "--json", "--server", "http://127.0.0.1:9797", may_fail=True)

    def is_guarding(self, restarts):
        return self.shows("ActiveState", "NRestarts", "StatusText") == ["active", str(restarts), f"guarding, listening on 127.0.0.1:9797"]


def configure(machine, apps, mode):
    machine.write("etc/rearguard/rearguard.yaml", CONFIG.format(lab=LAB, app=apps["shop"], blog=apps["blog"], mode=mode))


def drop_ins():
    """Those of deploy/README.md that name credentials: one more, and others than the unit's."""
    blocks = re.findall(r"^```ini\n(.*?)^```", README.read_text(), re.M | re.S)
    return [block for block in blocks if "LoadCredential=" in block]


def prepare(machine):
    """A platform, and what an operator installs."""
    machine.run(
        "systemd-run", "--quiet", "--unit=lab", "-pStandardOutput=file:/run/lab", "/usr/bin/rearguard", "lab", "--listen", LAB
    )
    said = wait_for("the lab", lambda: "Stop with" in machine.read("run/lab") and machine.read("run/lab"))
    apps = dict(re.findall(r"app +(\w+), id (\S+)", said))
    token = re.search(r"token +(\S+)", said).group(1)
    (machine.root / "etc/rearguard/credentials").mkdir(mode=0o700)
    secrets = {"do-token": token, "sevalla-token": token, "admin-token": TOKEN, "hook-secret": "a-secret"}
    secrets["hook-url"] = f"http://{LAB}/nowhere"
    for name, secret in secrets.items():
        machine.write(f"etc/rearguard/credentials/{name}", secret, 0o600)
    machine.write(f"etc/systemd/system/{SERVICE}.d/secrets.conf", drop_ins()[0])
    machine.write(f"etc/systemd/system/{SERVICE}.d/test.conf", f"[Service]\nWatchdogSec={WATCHDOG}s\n")
    configure(machine, apps, "enforce")
    return apps


def starts(machine):
    machine.run("systemctl", "daemon-reload")
    before = time.monotonic()
    machine.run("systemctl", "start", SERVICE)
    assert machine.is_guarding(0), machine.run("systemctl", "status", SERVICE, may_fail=True)
    print(f"ready {time.monotonic() - before:.1f} s after systemctl start")
    status = pathlib.Path(f"/proc/{machine.pid()}/status").read_text()
    for name, value in {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}.items():
        assert re.search(rf"^{name}:\t{value}$", status, re.M), f"{name} is not {value}:\n{status}"
    user = int(re.search(r"^Uid:\t(\d+)", status, re.M).group(1))
    assert 61184 <= user <= 65519, f"user {user} is not made up at start"
    wait_for("the live deployment", lambda: '"state": "watching"' in machine.app())
    wait_for("the other platform's", lambda: re.search('"state": "(watching|steady)"', machine.app("blog")))
    # What a channel needs is read when it is needed.
    needed = set(re.findall(r"_file: ([\w-]+)", CONFIG))
    given = set(machine.run("ls", f"/run/credentials/{SERVICE}").split())
    assert needed <= given, f"the drop-in of {README} does not bring {needed - given}"
    modes = machine.run("stat", "-c", "%a %u", "/var/lib/rearguard/", "/var/lib/rearguard/rearguard.db").split()
    assert modes == ["700", str(user), "600", str(user)], modes
    machine.run(
        "env", f"REARGUARD_ADMIN_TOKEN={TOKEN}", "/usr/bin/rearguard", "pause", "shop", "--server", "http://127.0.0.1:9797"
    )
    machine.run(
        "env", f"REARGUARD_ADMIN_TOKEN={TOKEN}", "/usr/bin/rearguard", "resume", "shop", "--server", "http://127.0.0.1:9797"
    )
    print(f"made-up user {user}, no capabilities, system calls filtered, state of its own, credentials read")


def reloads(machine, apps):
    configure(machine, apps, "observe")
    machine.run("systemctl", "reload", SERVICE)
    wait_for("the reload", lambda: '"mode": "observe"' in machine.app(), 8)
    configure(machine, apps, "enforced")
    machine.run("systemctl", "reload", SERVICE)
    refused = "guarding by the old configuration, the new one is refused; listening on 127.0.0.1:9797"
    wait_for("the refusal", lambda: machine.shows("ActiveState", "StatusText") == ["active", refused], 8)
    configure(machine, apps, "enforce")
    machine.run("systemctl", "reload", SERVICE)
    wait_for("the way back", lambda: machine.is_guarding(0) and '"mode": "enforce"' in machine.app(), 8)
    print("reloaded; a wrong configuration is refused, and systemctl status says so")


def is_killed_by_the_watchdog(machine):
    before = machine.pid()
    os.kill(before, 19)
    wait_for("the watchdog", lambda: machine.is_guarding(1))
    assert machine.pid() != before
    (result,) = re.findall(r"Watchdog timeout.*", machine.log())
    print(f"a process that stands still is started again: {result}")


def is_killed(machine):
    os.kill(machine.pid(), 9)
    wait_for("the next start", lambda: machine.is_guarding(2))
    print("a process that is killed is started again")


def stands_still_in_part(machine):
    """Its journal answers no more, as on a disk that hangs; the rest of it goes on."""
    thread = next(
        int(task.name)
        for task in pathlib.Path(f"/proc/{machine.pid()}/task").iterdir()
        if (task / "comm").read_text().strip() == "journal"
    )
    trace = ctypes.CDLL(None, use_errno=True).ptrace
    trace.argtypes = [ctypes.c_long] * 4
    seize, interrupt = 0x4206, 0x4207
    for request in [seize, interrupt]:
        assert trace(request, thread, 0, 0) == 0, os.strerror(ctypes.get_errno())
    release = '{"version": "v2", "health": {"bad": {"status": 500}}}'
    machine.run(
        "curl", "-sSf", "-H", "content-type: application/json", "-d", release, f"http://{LAB}/lab/apps/shop/releases"
    )
    before = time.monotonic()

    def is_started_again():
        # Whoever holds a thread has to let it go when it is killed.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(thread, os.WNOHANG | 0x40000000)
        return machine.shows("NRestarts") == ["3"]

    # It is fed for as long as a loop may take, and not for ever.
    wait_for("the watchdog", is_started_again, LOOP_WITHIN + 40)
    took = time.monotonic() - before
    assert took > LOOP_WITHIN - WATCHDOG, took
    assert "a loop stands still: the watchdog is not fed" in machine.log()
    wait_for("the guard", lambda: machine.is_guarding(3))
    print(f"a process whose journal does not answer is started again after {took:.0f} s")

    def outcome():
        return re.search(r'"outcome": "(\w+)"', machine.run(
            "/usr/bin/rearguard", "incidents", "--json", "--server", "http://127.0.0.1:9797", may_fail=True
        ))

    assert wait_for("the end of the incident", outcome).group(1) == "committed"
    print("and rolls the release back that came meanwhile")


def is_upgraded(machine):
    """The package's last script looks as the process that runs would start, and restarts only what would."""

    def upgrade():
        """Whether another process runs, and what was said."""
        before = machine.pid()
        said = machine.run("/root/postinst", "configure", "0.0.1-1")
        is_up = machine.shows("ActiveState") == ["active"]
        return is_up and machine.pid() != before, said, is_up

    begin_anew(machine)
    # With the made-up user's credentials and the unit's view of the files.
    assert upgrade() == (True, "", True) and machine.is_guarding(0)
    (look,) = re.findall(r"^ *(/usr/bin/rearguard\.new check .*)$", OPERATIONS.read_text(), re.M)
    machine.run("bash", "-euo", "pipefail", "-c", look.replace("rearguard.new", "rearguard"))
    written, token = machine.root / "etc/rearguard/rearguard.yaml", "/etc/rearguard/credentials/sevalla-token"
    text = written.read_text()
    for wrong, why in (
        (f"{text}nonsense: true\n", "unknown key `nonsense`"),
        # Readable for root, and not for the service.
        (text.replace("token_file: sevalla-token", f"token_file: {token}"), f"{token}: it has to exist and be readable"),
        (text.replace("token_file: sevalla-token", "token_file: other-token"), "other-token: it has to exist"),
    ):
        assert wrong != text
        written.write_text(wrong)
        is_new, said, is_up = upgrade()
        assert is_up and not is_new and why in said and "Mend that, and then: systemctl restart rearguard" in said, said
    written.write_text(text)
    # What systemd itself refuses is known only afterwards.
    for lines, state in ("[Service]\nRestart=no\nExecStartPre=/bin/false\n", "failed"), ("[Unit]\nConditionPathExists=/not-there\n", "inactive"):
        drop_in = machine.root / f"etc/systemd/system/{SERVICE}.d/zz-look.conf"
        drop_in.write_text(lines)
        said = upgrade()[1]
        assert machine.shows("ActiveState") == [state] and "THE SERVICE WAS TO BE RESTARTED AND DOES NOT RUN" in said, said
        drop_in.unlink()
        machine.run("systemctl", "daemon-reload")
        begin_anew(machine)
        machine.run("systemctl", "start", SERVICE)
    assert upgrade() == (True, "", True) and machine.is_guarding(0)
    print("an upgrade restarts what would start, else leaves what runs and says why, and says so where systemd refuses it")


def is_started_too_often(machine):
    """After five starts it stays as it is, until a person says the words of the documents."""
    begin_anew(machine)
    machine.run("systemctl", "restart", SERVICE)
    for restarts in range(5):
        wait_for("the guard", lambda: machine.is_guarding(restarts))
        os.kill(machine.pid(), 9)
    wait_for("the limit", lambda: machine.shows("ActiveState", "NRestarts") == ["failed", "5"])
    machine.run("systemctl", "start", SERVICE, may_fail=True)
    assert machine.shows("ActiveState") == ["failed"]
    machine.run("bash", "-euo", "pipefail", "-c", block(README, "sh", "systemctl reset-failed"))
    assert machine.is_guarding(0)
    print("what was started five times stays failed, and is started again as it is documented")


def stops(machine):
    before = time.monotonic()
    machine.run("systemctl", "stop", SERVICE)
    took = time.monotonic() - before
    found = machine.shows("ActiveState", "Result", "ExecMainStatus")
    assert found == ["inactive", "success", "0"], found
    print(f"stopped in {took:.1f} s")


def refuses_what_does_not_heal(machine, apps):
    configure(machine, apps, "enforced")
    machine.run("systemctl", "start", SERVICE, may_fail=True)
    wait_for("the end", lambda: machine.shows("ActiveState") == ["failed"], 10)
    # Longer than RestartSec.
    time.sleep(4)
    found = machine.shows("ActiveState", "Result", "ExecMainStatus", "NRestarts")
    assert found == ["failed", "exit-code", "78", "0"], found
    print("a wrong configuration at the start ends with 78 and is not tried again")


def block(document, kind, part):
    """The one block of a document that has a part."""
    (found,) = [text for text in re.findall(rf"^```{kind}\n(.*?)^```", document.read_text(), re.M | re.S) if part in text]
    return found


def is_lost(machine, apps):
    """Its state is gone, but for a copy of the journal: another machine begins with that as it is documented."""
    begin_anew(machine)
    configure(machine, apps, "enforce")
    machine.run("mkdir", "/root/copied")
    machine.run("cp", "/var/lib/rearguard/rearguard.db", "/etc/rearguard/rearguard.yaml", "/root/copied")
    machine.run("rm", "-rf", "/var/lib/private/rearguard", "/var/lib/rearguard", "/etc/rearguard/rearguard.yaml")
    moving = block(OPERATIONS, "sh", "install -d -m 0700 /var/lib/rearguard")
    machine.run("bash", "-euo", "pipefail", "-c", f"cd /root/copied\n{moving}")
    assert machine.is_guarding(0)
    said = machine.run("/usr/bin/rearguard", "incidents", "--json")
    assert '"outcome": "committed"' in said, said
    print("another machine goes on with a copy of the journal")


def keeps_its_journal_elsewhere(machine):
    begin_anew(machine)
    machine.write(f"etc/systemd/system/{SERVICE}.d/state.conf", block(README, "ini", "ReadWritePaths="))
    state = "/srv/rearguard/rearguard.db"
    written = machine.root / "etc/rearguard/rearguard.yaml"
    machine.write("etc/rearguard/rearguard.yaml", f"state: {state}\n{written.read_text()}")
    machine.run("bash", "-euo", "pipefail", "-c", block(README, "sh", "useradd"))
    wait_for("the guard with its journal elsewhere", lambda: machine.is_guarding(0))
    found = machine.run("stat", "-c", "%a %U", state).split()
    assert found == ["600", "rearguard"], found
    machine.run("systemctl", "stop", SERVICE)
    # Without a folder it is one in /, which the service may not write to, and says so by its whole name.
    machine.write("etc/rearguard/rearguard.yaml", written.read_text().replace(f"state: {state}", "state: rearguard.db"))
    machine.run("systemctl", "start", "--no-block", SERVICE)
    wait_for("what it says", lambda: "failed to use the journal /rearguard.db: " in machine.log())
    assert machine.shows("ActiveState") == ["activating"]
    machine.run("systemctl", "stop", SERVICE)
    machine.write("etc/rearguard/rearguard.yaml", written.read_text().replace("state: rearguard.db\n", ""))
    (machine.root / f"etc/systemd/system/{SERVICE}.d/state.conf").unlink()
    machine.run("systemctl", "daemon-reload")
    begin_anew(machine)
    print("a journal elsewhere takes the drop-in of the documents; one with a relative name is named in full")


def begin_anew(machine):
    """Starts that a person asked for count against StartLimitBurst as well."""
    machine.run("systemctl", "reset-failed", SERVICE, may_fail=True)  # one that is stopped may be none to systemd


def has_an_environment(machine):
    """What stands in /etc/default is the service's, and need not."""
    begin_anew(machine)
    machine.write("etc/default/rearguard", "# HTTPS_PROXY=x\nRUST_LOG=warn\n")
    machine.run("systemctl", "restart", SERVICE)
    environment = pathlib.Path(f"/proc/{machine.pid()}/environ").read_text().split("\0")
    assert "RUST_LOG=warn" in environment and not [each for each in environment if each.startswith("HTTPS_PROXY")]
    # A proxy with a password, as documented.
    drop_in = machine.root / f"etc/systemd/system/{SERVICE}.d/proxy.conf"
    drop_in.write_text(block(README, "ini", "EnvironmentFile="))
    (secret,) = re.findall(r"^install .* (/\S+/proxy)  ", block(README, "sh", "credentials/proxy"), re.M)
    machine.write(secret.lstrip("/"), "HTTPS_PROXY=http://user:a-word@127.0.0.1:9\n", 0o600)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", SERVICE)
    environment = pathlib.Path(f"/proc/{machine.pid()}/environ").read_text().split("\0")
    assert "RUST_LOG=warn" in environment and "HTTPS_PROXY=http://user:a-word@127.0.0.1:9" in environment
    assert "a-word" not in machine.log() + machine.run("systemctl", "show", SERVICE)
    drop_in.unlink()
    (machine.root / "etc/default/rearguard").unlink()
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", SERVICE)
    print("its environment is that of /etc/default/rearguard, and of a file that only root can read")


def has_another_platform_alone(machine, apps):
    """Who has no account at DigitalOcean has no token of it."""
    configure(machine, apps, "observe")
    written = machine.root / "etc/rearguard/rearguard.yaml"
    text = re.sub(r"^  - .*kind: digitalocean.*\n", "", written.read_text(), flags=re.M)
    machine.write("etc/rearguard/rearguard.yaml", re.sub(r"^  - name: shop\n.*", "", text, flags=re.M | re.S).replace("notify:", "#"))
    (machine.root / "etc/rearguard/credentials/do-token").unlink()
    machine.write(f"etc/systemd/system/{SERVICE}.d/secrets.conf", drop_ins()[1])
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", SERVICE)
    wait_for("the guard of another platform", lambda: machine.is_guarding(0) and '"state"' in machine.app("blog"))
    print("without a token of DigitalOcean it guards what is on Sevalla")


def main():
    try:
        with Container(sys.argv[1]) as machine:
            apps = prepare(machine)
            try:
                starts(machine)
                reloads(machine, apps)
                is_killed_by_the_watchdog(machine)
                is_killed(machine)
                stands_still_in_part(machine)
                has_an_environment(machine)
                is_upgraded(machine)
                is_started_too_often(machine)
                stops(machine)
                is_lost(machine, apps)
                keeps_its_journal_elsewhere(machine)
                refuses_what_does_not_heal(machine, apps)
                has_another_platform_alone(machine, apps)
            except AssertionError:
                print(machine.run("journalctl", "--no-pager", "--lines=80", may_fail=True))
                raise
    except Skipped as why:
        print(f"SKIPPED: {why}")


main()
