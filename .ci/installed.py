"""A Debian package from its installation to its purge, on a machine that may be spoilt: everything is done as root, in place.

    python installed.py BEFORE.deb NEW.deb

In the place of systemctl stands a script that writes down what it is asked, since systemd is not the first process.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE / "tests/surface"))
from ground import call, wait_for  # noqa: E402

ASKED = pathlib.Path("/run/asked")
ETC = pathlib.Path("/etc/rearguard")
CONFIG = ETC / "rearguard.yaml"
CREDENTIALS = ETC / "credentials"
PRIVATE = pathlib.Path("/var/lib/private/rearguard")
DEFAULTS = pathlib.Path("/etc/default/rearguard")
DROP_IN = pathlib.Path("/etc/systemd/system/rearguard.service.d/own.conf")
UNIT = pathlib.Path("/usr/lib/systemd/system/rearguard.service")
USER = 61234  # one of those that DynamicUser gives
EVERYWHERE = ("/etc", "/usr", "/var", "/lib", "/opt", "/srv", "/root")
# What dpkg and its triggers keep for themselves.
NOT_OURS = r"/var/(lib/dpkg|log|cache|lib/systemd/catalog)/|.*__pycache__"


def prepare():
    """A machine that looks as if systemd ran it, and where nothing keeps services or manual pages away."""
    pathlib.Path("/run/systemd/system").mkdir(parents=True)
    systemctl = pathlib.Path(shutil.which("systemctl") or "/usr/bin/systemctl")
    systemctl.unlink(missing_ok=True)
    systemctl.write_text(f'#!/bin/sh\n[ "$1" != cat ] || exec cat {UNIT} $(ls {DROP_IN} 2>/dev/null)\necho "$*" >> {ASKED}\n')
    systemctl.chmod(0o755)
    pathlib.Path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)
    for name in ETC, PRIVATE, PRIVATE.parent.parent / "rearguard":
        shutil.rmtree(name, ignore_errors=True)


def asked():
    """What systemctl was asked to do since the last time, without the reading of units again."""
    words = ASKED.read_text().splitlines() if ASKED.exists() else []
    ASKED.unlink(missing_ok=True)
    return [each for each in words if "daemon-reload" not in each and "is-active" not in each]


def expect(*wanted):
    found = asked()
    assert found == list(wanted), f"of systemctl {list(wanted)} should have been asked, and it was {found}"


def dpkg(*words):
    """Nobody can answer a question."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["dpkg", "--path-include=*", *words]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def rearguard(*words, expected=0, **more):
    answer = subprocess.run(["/usr/bin/rearguard", *words], capture_output=True, text=True, timeout=60, **more)
    assert answer.returncode == expected, (words, answer.returncode, answer.stdout, answer.stderr)
    return answer.stdout + answer.stderr


def files():
    found = set()
    for top in EVERYWHERE:
        for folder, folders, names in os.walk(top):
            found |= {f"{folder}/{name}" for name in folders + names}
    return {name for name in found if not re.match(NOT_OURS, name)}


def mode(path):
    return f"{path.lstat().st_mode & 0o7777:04o}"


def documented():
    """The commands by which deploy/README.md configures what is installed."""
    text = (HERE / "deploy/README.md").read_text()
    (block,) = [block for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) if "apt-get install" in block]
    first, *others = block.splitlines()
    assert first.startswith("apt-get install"), first
    return "\n".join(others)


def configure(lab):
    """As it is documented, but for the address of the platform; the port is one that is free here."""
    commands = documented().replace("rearguard init", f"rearguard init --api {lab['api']}")
    answer = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], input=lab["token"], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    expect("enable --now rearguard")
    # From wherever one is.
    rearguard("check", "--config", str(CONFIG), "--online", cwd="/")
    assert [mode(CREDENTIALS / name) for name in ("do-token", "admin-token")] == ["0600", "0600"], "tokens that others can read"
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"127.0.0.1:{free.getsockname()[1]}"
    CONFIG.write_text(re.sub(r"^listen: .*$", f"listen: {url}", CONFIG.read_text(), flags=re.M))
    return f"http://{url}"


def serve():
    """The built-in platform, and where it is."""
    lab = subprocess.Popen(["/usr/bin/rearguard", "lab", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    said = ""
    while "Stop with" not in said:
        line = lab.stdout.readline()
        assert line, said
        said += line
    return {word: re.search(rf"{word} +(\S+)\n", said).group(1) for word in ("api", "token")}


def start(url):
    """What the unit starts, as systemd would: another user, its state, its credentials, and no more rights than that."""
    given = pathlib.Path("/run/credentials/rearguard.service")
    shutil.rmtree(given, ignore_errors=True)
    shutil.copytree(CREDENTIALS, given)
    for path in given, *given.iterdir():
        os.chown(path, USER, USER)
        path.chmod(0o500 if path.is_dir() else 0o400)
    PRIVATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(PRIVATE, USER, USER)
    PRIVATE.parent.chmod(0o755)  # systemd mounts what is in it; here one has to get there
    link = pathlib.Path("/var/lib/rearguard")
    if not link.is_symlink():
        link.symlink_to(PRIVATE)
    (words,) = re.findall(r"^ExecStart=(.+)$", UNIT.read_text(), re.M)
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    environment = {"CREDENTIALS_DIRECTORY": str(given), "PATH": "/usr/bin:/bin"}
    daemon = subprocess.Popen([*as_user, *words.split()], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def apps():
        assert daemon.poll() is None, f"the daemon ended with {daemon.returncode}"
        try:
            return [app for app in call(f"{url}/api/v1/apps")[1]["apps"] if app["live_deployment"]]
        except OSError:
            return []

    assert wait_for("an app that is seen", apps)
    return daemon


def end(daemon):
    daemon.terminate()
    assert daemon.wait(60) == 0, daemon.returncode


def is_enabled():
    return any(pathlib.Path("/etc/systemd/system").glob("*.wants/rearguard.service"))


def install(package):
    dpkg("--install", package)
    expect()  # it has no configuration to start with
    assert not is_enabled(), "it would be started at the next boot without a configuration"
    assert (mode(ETC), mode(CONFIG), mode(CREDENTIALS)) == ("0755", "0644", "0700"), "modes"
    for path in "man/man1/rearguard.1.gz", "man/man1/rearguard-run.1.gz", "bash-completion/completions/rearguard", "doc/rearguard/copyright":
        assert pathlib.Path("/usr/share", path).stat().st_size > 100, path
    said = rearguard("run", "--config", str(CONFIG), expected=78)
    assert "platforms: is missing" in said and "apps: is missing" in said, said
    said = subprocess.run(["dpkg-query", "--show", "--showformat=${Conffiles}", "rearguard"], capture_output=True, text=True).stdout
    assert [line.split()[0] for line in said.splitlines() if line.strip()] == [str(DEFAULTS)], f"conffiles: {said}"
    assert f"EnvironmentFile=-{DEFAULTS}" in UNIT.read_text() and mode(DEFAULTS) == "0644"
    # What the sums are good for.
    dpkg("--verify", "rearguard")


def upgrade(package, url, daemon):
    configured, version = CONFIG.read_text(), rearguard("--version")
    # As `systemctl enable` does it.
    wants = pathlib.Path("/etc/systemd/system/multi-user.target.wants")
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "rearguard.service").symlink_to(UNIT)
    DEFAULTS.write_text(DEFAULTS.read_text() + "RUST_LOG=debug\n")
    before = json.loads(rearguard("status", "--json", "--server", url))
    dpkg("--install", package)
    expect("try-restart rearguard.service")  # which does nothing to one that does not run
    assert is_enabled() and CONFIG.read_text() == configured and rearguard("--version") == version
    assert not list(ETC.glob("*.dpkg-*")), "a question about the configuration"
    assert DEFAULTS.read_text().endswith("RUST_LOG=debug\n") and not list(DEFAULTS.parent.glob("rearguard.*")), "what was set is kept"
    end(daemon)
    daemon = start(url)
    after = json.loads(rearguard("status", "--json", "--server", url))
    assert [app["name"] for app in before["apps"]] == [app["name"] for app in after["apps"]]
    return daemon


def keeps_what_runs(package):
    """Where the new version does not take the configuration, or a start would lack a token, the old one goes on."""
    configured = CONFIG.read_text()
    CONFIG.write_text(configured + "nonsense: true\n")
    said = dpkg("--install", package)
    expect()
    assert "unknown key `nonsense`" in said and "systemctl restart rearguard" in said, said
    # It is the unit's own that counts.
    own = ETC / "own.yaml"
    own.write_text(configured)
    DROP_IN.parent.mkdir(parents=True)
    DROP_IN.write_text(f"[Service]\nExecStart=\nExecStart=/usr/bin/rearguard run --config {own}\n")
    dpkg("--install", package)
    expect("try-restart rearguard.service")
    CONFIG.write_text(configured)
    own.write_text(configured + "nonsense: true\n")
    assert f"does not take {own}" in dpkg("--install", package)
    expect()
    own.unlink()
    shutil.rmtree(DROP_IN.parent)
    token = CREDENTIALS / "do-token"
    token.rename(token.with_suffix(".away"))
    assert f"there is no {token}" in dpkg("--install", package)
    expect()
    # Who takes it out of the unit does without.
    DROP_IN.parent.mkdir()
    DROP_IN.write_text(f"[Service]\nLoadCredential=\nLoadCredential=admin-token:{CREDENTIALS}/admin-token\n")
    dpkg("--install", package)
    expect("try-restart rearguard.service")
    shutil.rmtree(DROP_IN.parent)
    token.with_suffix(".away").rename(token)
    CONFIG.write_text(configured)


def main(before, new):
    prepare()
    clean = files()
    install(before)
    lab = serve()
    url = configure(lab)
    daemon = upgrade(new, url, start(url))
    # A reinstallation is an upgrade to the same; a downgrade asks nothing either.
    dpkg("--install", new)
    expect("try-restart rearguard.service")
    keeps_what_runs(new)
    dpkg("--remove", "rearguard")
    expect("stop rearguard.service")
    end(daemon)
    kept = [DEFAULTS, CONFIG, CREDENTIALS / "do-token", PRIVATE / "rearguard.db"]
    assert all(path.exists() for path in kept) and not shutil.which("rearguard"), "a removal keeps what is the user's"
    dpkg("--purge", "rearguard")
    left = {name for name in files() - clean if name != "/var/lib/private"}
    assert not left, f"a purge leaves {sorted(left)}"
    print("installed, configured, run, upgraded while it ran, removed and purged; nothing is left")


if __name__ == "__main__":
    began = time.monotonic()
    main(*sys.argv[1:])
    print(f"after {time.monotonic() - began:.0f} s")
