"""A Debian package from its installation to its purge, on a machine that may be spoilt: everything is done as root, in place.

    python installed.py BEFORE.deb NEW.deb

In the place of systemctl stands systemctl.py, which writes down what it is asked, since systemd is not the first process.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE / "tests/surface"))
from ground import call, wait_for  # noqa: E402
from systemctl import ASKED, FALLS, MAIN_PID, SILENT, UNIT, USER, as_user, give  # noqa: E402

ETC = pathlib.Path("/etc/rearguard")
CONFIG = ETC / "rearguard.yaml"
CREDENTIALS = ETC / "credentials"
PRIVATE = pathlib.Path("/var/lib/private/rearguard")
DEFAULTS = pathlib.Path("/etc/default/rearguard")
POSTINST = pathlib.Path("/var/lib/dpkg/info/rearguard.postinst")
EVERYWHERE = ("/etc", "/usr", "/var", "/lib", "/opt", "/srv", "/root")
# What dpkg and its triggers keep for themselves.
NOT_OURS = r"/var/(lib/dpkg|log|cache|lib/systemd/catalog)/|.*__pycache__"


def prepare():
    """A machine that looks as if systemd ran it, and where nothing keeps services or manual pages away."""
    pathlib.Path("/run/systemd/system").mkdir(parents=True)
    systemctl = pathlib.Path(shutil.which("systemctl") or "/usr/bin/systemctl")
    systemctl.unlink(missing_ok=True)
    systemctl.write_text(f'#!/bin/sh\nexec python3 {HERE}/.ci/systemctl.py "$@"\n')
    systemctl.chmod(0o755)
    pathlib.Path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)
    for name in ETC, PRIVATE, PRIVATE.parent.parent / "rearguard":
        shutil.rmtree(name, ignore_errors=True)


def asked():
    """What systemctl was asked to do since the last time."""
    words = ASKED.read_text().splitlines() if ASKED.exists() else []
    ASKED.unlink(missing_ok=True)
    return words


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
    # A person's umask may be stricter than the usual one.
    for umask in "077", "022":
        words = ["bash", "-euo", "pipefail", "-c", f"umask {umask}\n{commands}"]
        answer = subprocess.run(words, input=lab["token"], capture_output=True, text=True)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        expect("enable --now rearguard")
        # From wherever one is.
        rearguard("check", "--config", str(CONFIG), "--online", cwd="/")
        assert mode(CONFIG) == "0644", f"under the umask {umask} the service's user cannot read it"
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
    given = give({path.name: path for path in CREDENTIALS.iterdir()})
    PRIVATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(PRIVATE, USER, USER)
    PRIVATE.parent.chmod(0o755)  # systemd mounts what is in it; here one has to get there
    link = pathlib.Path("/var/lib/rearguard")
    if not link.is_symlink():
        link.symlink_to(PRIVATE)
    (words,) = re.findall(r"^ExecStart=(.+)$", UNIT.read_text(), re.M)
    daemon = begin(*words.split(), CREDENTIALS_DIRECTORY=str(given))

    def apps():
        assert daemon.poll() is None, f"the daemon ended with {daemon.returncode}"
        try:
            return [app for app in call(f"{url}/api/v1/apps")[1]["apps"] if app["live_deployment"]]
        except OSError:
            return []

    assert wait_for("an app that is seen", apps)
    return daemon


def begin(*words, **environment):
    """A main process of the service, with the unit's user and no more in its environment than this."""
    environment = {"PATH": "/usr/bin:/bin", **environment}
    process = subprocess.Popen(as_user(words), env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    command = pathlib.Path(f"/proc/{process.pid}/cmdline")
    wait_for(f"{words}, which setpriv becomes", lambda: command.read_text().split("\0")[:-1] == list(words))
    MAIN_PID.write_text(str(process.pid))
    return process


def end(process, status=0):
    MAIN_PID.unlink(missing_ok=True)
    process.terminate()
    assert process.wait(60) == status, process.returncode


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
    expect("try-restart rearguard.service")
    assert is_enabled() and CONFIG.read_text() == configured and rearguard("--version") == version
    assert not list(ETC.glob("*.dpkg-*")), "a question about the configuration"
    assert DEFAULTS.read_text().endswith("RUST_LOG=debug\n") and not list(DEFAULTS.parent.glob("rearguard.*")), "what was set is kept"
    end(daemon)
    daemon = start(url)
    after = json.loads(rearguard("status", "--json", "--server", url))
    assert [app["name"] for app in before["apps"]] == [app["name"] for app in after["apps"]]
    return daemon


@contextlib.contextmanager
def written(path, text=""):
    """A file with a text, for as long as the `with` lasts."""
    former = path.read_text() if path.exists() else None
    path.write_text(text)
    yield path
    path.unlink() if former is None else path.write_text(former)


@contextlib.contextmanager
def instead(*words, status=0, **environment):
    """Another main process than the daemon's, for as long as the `with` lasts."""
    former = MAIN_PID.read_text()
    process = begin(*words, **environment)
    yield
    end(process, status)
    MAIN_PID.write_text(former)


def script(path, *words):
    """What one of the package's scripts says; all that dpkg does around it would take seconds each time."""
    environment = os.environ | {"DPKG_MAINTSCRIPT_PACKAGE": "rearguard", "DPKG_MAINTSCRIPT_NAME": path.suffix[1:]}
    # debconf has a file of its own open there.
    words = ["bash", "-c", 'exec "$0" "$@" 3</dev/null', path, *words]
    answer = subprocess.run(words, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def upgraded(*words):
    return script(POSTINST, *(words or ("configure", "0.0.1-1")))


def restarts(*why):
    said = upgraded()
    words = asked()
    assert words == ["try-restart rearguard.service"], (words, said)
    assert all(word in said for word in why) and bool(why) == bool(said), (why, said)


def stays(*why, words=()):
    said = upgraded(*words)
    expect()
    assert all(word in said for word in [*why, "Mend that, and then: systemctl restart rearguard"]), (why, said)


def named(place):
    """The configuration with another place of the token."""
    text, count = re.subn(r'\btoken_file: "?do-token"?(?=[ ,}\n])', place, CONFIG.read_text())
    assert count == 1, text
    return text


def is_broken_off():
    """What was broken off brought nothing new, and says nothing, whether or not the service runs."""
    for words in ("abort-upgrade", "0.2.0-1"), ("abort-remove", "in-favour", "other", "1-1"), ("abort-deconfigure", "in-favour", "other", "1-1"):
        assert not upgraded(*words)
        expect()


def is_older_than_the_journal(journal):
    """An older version is not restarted into it, also when it is configured again, and then it is the version before."""
    words = ["dpkg-query", "--show", "--showformat=${Version}", "rearguard"]
    version = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    database = sqlite3.connect(journal)
    (schema,) = database.execute("PRAGMA user_version").fetchone()
    before = sorted(path.name for path in journal.parent.iterdir())
    for newer in schema, schema + 1:
        database.execute(f"PRAGMA user_version = {newer}")
        # In the log alone, and in the file.
        for _ in range(2):
            stays("may not read the journal of 9.0.0-1", words=("configure", "9.0.0-1"))
            if newer == schema:
                assert not upgraded("configure", version)
                assert asked() == ["try-restart rearguard.service"]
            else:
                stays(f"{journal.name}: a newer rearguard wrote it (schema {newer}", "restore the backup", words=("configure", version))
            assert sorted(path.name for path in journal.parent.iterdir()) == before, "a look makes nothing"
            database.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
    database.execute(f"PRAGMA user_version = {schema}")
    database.close()


def keeps_what_runs(daemon):
    """An upgrade restarts what would start, and else leaves the process that runs and says why."""
    configured, token = CONFIG.read_text(), CREDENTIALS / "do-token"
    restarts()
    is_broken_off()
    # Whether there is a process is not known, which is not that there is none.
    with written(SILENT):
        stays("systemctl show rearguard.service ended with 1")
    is_older_than_the_journal(PRIVATE / "rearguard.db")
    with written(FALLS):
        restarts("THE SERVICE WAS TO BE RESTARTED AND DOES NOT RUN")
    is_broken_off()
    with written(CONFIG, configured + "nonsense: true\n"):
        restarts()  # which does nothing to a service that does not run
        MAIN_PID.write_text(str(daemon.pid))
        stays(f"{CONFIG}:", "unknown key `nonsense`")
    # What root can read, or has in its own environment, the service's user has not.
    with written(CONFIG, named(f"token_file: {token}")):
        stays(f"{token}", "Permission denied")
    with written(CONFIG, named("token_file: sevalla-token")), written(CREDENTIALS / "sevalla-token", "abc"):
        stays("sevalla-token")
    os.environ["TOKEN"] = "abc"
    with written(CONFIG, named("token_env: TOKEN")):
        stays("environment variable TOKEN is not set")
    CONFIG.chmod(0o600)
    stays(f"{CONFIG}", "Permission denied")
    CONFIG.chmod(0o644)


def looks_as_what_runs():
    """It is the main process by which is looked, whatever it was told and has in its environment."""
    binary, own, journal = "/usr/bin/rearguard", ETC / "my own.yaml", pathlib.Path("/run/own/rearguard.db")
    journal.parent.mkdir()
    os.chown(journal.parent, USER, USER)
    # Warned of, since anybody can read it; that is no reason to leave the old process.
    token = ETC / "token"
    fine = re.sub(r"^listen: .*$", f"listen: 127.0.0.1:0\nstate: {journal}", named(f"token_file: {token}"), flags=re.M)

    @contextlib.contextmanager
    def runs(*words, **environment):
        """Another daemon, which has read its configuration."""
        credentials = str(pathlib.Path("/run/credentials", UNIT.name))
        with instead(binary, *words, CREDENTIALS_DIRECTORY=credentials, **environment):
            wait_for("its journal", journal.exists)
            yield
        for path in journal.parent.iterdir():
            path.unlink()

    with written(token, "abc"), written(own, fine):
        for words, more in (
            (["run", "--config", str(own)], {}),
            (["--log-level", "info", "run", f"--config={own.relative_to('/')}"], {}),
            (["run"], {"REARGUARD_CONFIG": str(own)}),
        ):
            with runs(*words, **more):
                with written(CONFIG, "nonsense: true\n"):
                    restarts("token file is readable for every user")
                with written(own, fine + "nonsense: true\n"):
                    stays("my own.yaml:", "unknown key `nonsense`")
    with instead("sleep", "600", status=-signal.SIGTERM):
        stays("it runs something else than /usr/bin/rearguard")
    former = MAIN_PID.read_text()
    MAIN_PID.write_text("4194304")
    restarts()  # whatever systemd has made of it
    MAIN_PID.write_text(former)
    with instead(binary, "lab", "--listen", "127.0.0.1:0", status=-signal.SIGTERM):
        stays("it is no `rearguard run` that this version knows")


def breaks():
    """A new version that breaks without a word does not start either. It comes as dpkg brings it."""
    binary, kept, broken = (pathlib.Path("/usr/bin", name) for name in ("rearguard", "rearguard.kept", "rearguard.new"))
    os.link(binary, kept)
    # It ends well if it is given a file that is the script's.
    broken.write_text("#!/bin/sh\n[ -e /proc/$$/fd/3 ] || kill -SEGV $$\n")
    broken.chmod(0o755)
    broken.rename(binary)
    stays("rearguard check --start --as", "ended with 139")
    kept.rename(binary)


def leaves_mounts(postrm):
    """Of a purge a disk with the journal stays where it is mounted, and nothing on it; all of it where something is mounted below; and what
    a link leads to."""
    link = pathlib.Path("/var/lib/rearguard")
    for place, beside in (PRIVATE, link), (link, None):
        place.mkdir(parents=True)
        if beside:
            beside.symlink_to(place)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        (place / "folder").mkdir()
        (place / "folder/file").touch()
        (place / "rearguard.db").touch()
        script(postrm, "purge")
        assert place.is_mount() and not list(place.iterdir()), "a purge leaves what is mounted, empty"
        subprocess.run(["umount", place], check=True)
        place.rmdir()
        assert not link.is_symlink(), "a link to nothing"
    # Of a disk of its own, and of the same.
    elsewhere = pathlib.Path("/srv/elsewhere")
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    for words, behind in ((["-t", "tmpfs", "tmpfs"], None), (["--bind", elsewhere], None), (["--bind", elsewhere], "moved"), (["--bind", elsewhere], "far away")):
        if behind:
            # The kernel names a mount by where it really is, and writes a space in another way.
            moved = pathlib.Path("/srv", behind)
            moved.mkdir()
            PRIVATE.parent.unlink() if PRIVATE.parent.is_symlink() else PRIVATE.parent.rmdir()
            PRIVATE.parent.symlink_to(moved)
        below = PRIVATE / "folder/a disk" if "--bind" not in words else PRIVATE / "folder/disk"
        below.mkdir(parents=True)
        (PRIVATE / "escape").symlink_to(elsewhere)
        for name in "rearguard.db", "folder/file", ".hidden":
            (PRIVATE / name).touch()
        subprocess.run(["mount", *words, below], check=True)
        (below / "file").touch()
        said = script(postrm, "purge")
        assert (below / "file").exists() and (PRIVATE / "rearguard.db").exists(), "a purge empties what is mounted below"
        assert f"{PRIVATE} stays, since something is mounted below it" in said, said
        subprocess.run(["umount", below], check=True)
        shutil.rmtree(PRIVATE)
    PRIVATE.parent.unlink()
    # Deeper than a shell goes, and a link out of it.
    subprocess.run(["mkdir", "-p", PRIVATE / "/".join("d" * 1500)], check=True)
    (PRIVATE / "escape").symlink_to(elsewhere)
    script(postrm, "purge")
    assert not PRIVATE.exists(), "a purge leaves what is deep"
    assert [path.name for path in elsewhere.iterdir()] == ["file"], "what a purge does not own"
    shutil.rmtree(elsewhere)


def main(before, new):
    prepare()
    clean = files()
    install(before)
    lab = serve()
    url = configure(lab)
    daemon = upgrade(new, url, start(url))
    # A reinstallation is an upgrade to the same; a downgrade asks nothing either, and restarts nothing.
    dpkg("--install", new)
    expect("try-restart rearguard.service")
    keeps_what_runs(daemon)
    looks_as_what_runs()
    breaks()
    dpkg("--remove", "rearguard")
    expect("stop rearguard.service")
    end(daemon)
    kept = [DEFAULTS, CONFIG, CREDENTIALS / "do-token", PRIVATE / "rearguard.db"]
    assert all(path.exists() for path in kept) and not shutil.which("rearguard"), "a removal keeps what is the user's"
    postrm = pathlib.Path(shutil.copy(POSTINST.with_suffix(".postrm"), "/run"))
    dpkg("--purge", "rearguard")
    left = {name for name in files() - clean if name != "/var/lib/private"}
    assert not left, f"a purge leaves {sorted(left)}"
    leaves_mounts(postrm)
    print("installed, configured, run, upgraded while it ran, removed and purged; nothing is left")


if __name__ == "__main__":
    began = time.monotonic()
    main(*sys.argv[1:])
    print(f"after {time.monotonic() - began:.0f} s")
