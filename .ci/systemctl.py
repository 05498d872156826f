"""What stands in the place of systemctl where systemd is not the first process (installed.py): it writes down what it is asked to
do, and does of it what the package's scripts look at. That the unit is so under a systemd, tests/surface/systemd.py tries.

    python systemctl.py WORDS...
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ASKED = pathlib.Path("/run/asked")
# Where this is, units cannot be read.
UNREADABLE = pathlib.Path("/run/unreadable")
UNIT = pathlib.Path("/usr/lib/systemd/system/rearguard.service")
DROP_IN = pathlib.Path("/etc/systemd/system/rearguard.service.d/own.conf")
OTHERS = pathlib.Path("/run/systemd/system")
USER = 61234  # one of those that DynamicUser gives


def as_user(words):
    """A command with the user and the rights that the unit gives."""
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--bounding-set=-all", *words]


def give(unit, credentials):
    """The folder with a unit's credentials."""
    given = pathlib.Path("/run/credentials", unit)
    shutil.rmtree(given, ignore_errors=True)
    given.mkdir(parents=True)
    for name, path in credentials.items():
        shutil.copy(path, given / name)
    for path in given, *given.iterdir():
        os.chown(path, USER, USER)
        path.chmod(0o500 if path.is_dir() else 0o400)
    return given


def settings(text):
    """The values of each key, a list that begins anew after nothing."""
    found = {}
    text = re.sub(r"^[ \t]*[#;].*\n", "", text, flags=re.M)
    for key, value in re.findall(r"^(\w+)=(.*)$", text.replace("\\\n", " "), re.M):
        found[key] = [*found.get(key, []), value] if value else []
    return found


def text_of(*paths):
    return "\n".join(path.read_text() for path in paths if path.exists())


def run(unit):
    """A unit that ends by itself; what it ends with."""
    said = settings(text_of(OTHERS / unit))
    assert (OTHERS / unit).stat().st_mode & 0o077 == 0, "what may be root's alone"
    if not all(os.path.exists(path) for path in said.get("ConditionPathExists", [])):
        return 0  # skipped
    environment = {"PATH": "/usr/bin:/bin"}
    for line in said.get("Environment", []):
        environment |= dict(each.split("=", 1) for each in shlex.split(line))
    for name in said.get("EnvironmentFile", []):
        file = pathlib.Path(name.removeprefix("-"))
        if not file.exists() and not name.startswith("-"):
            return 1
        environment |= dict(re.findall(r"^(\w+)=(.*)$", text_of(file), re.M))
    credentials = dict(each.split(":", 1) for each in said.get("LoadCredential", []))
    if not all(os.path.exists(path) for path in credentials.values()):
        return 243
    environment["CREDENTIALS_DIRECTORY"] = str(give(unit, credentials))
    assert said["DynamicUser"] == ["yes"] and not said["StateDirectory"] and said["Type"][-1] == "oneshot", said
    (command,), (errors,) = said["ExecStart"], said["StandardError"]
    with open(errors.removeprefix("file:"), "w") as file:
        ended = subprocess.run(as_user(command.split()), env=environment, cwd="/", stdout=subprocess.DEVNULL, stderr=file)
    return ended.returncode


def main(words):
    match words:
        case ["cat" | "show", *_] if UNREADABLE.exists():
            return 1
        case ["cat", _]:
            print(text_of(UNIT, DROP_IN))
        case ["show", "--property=ExecStart", "--value", _]:
            (command,) = settings(text_of(UNIT, DROP_IN))["ExecStart"]
            print(f"{{ path={command.split()[0]} ; argv[]={' '.join(command.split())} ; ignore_errors=no ; start_time=[n/a] }}")
        case ["is-active", _]:
            print("active")
        case _ if "daemon-reload" in words:
            pass
        case _:
            with ASKED.open("a") as file:
                print(*words, file=file)
            if words[0] == "start" and (OTHERS / words[1]).exists():
                return run(words[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
