"""What stands in the place of systemctl where systemd is not the first process (installed.py): it writes down what it is asked to
do, and says of the service what the package's scripts ask. That it is so under a systemd, tests/surface/systemd.py tries.

    python systemctl.py WORDS...
"""

import os
import pathlib
import shutil
import sys

ASKED = pathlib.Path("/run/asked")
# The process that is the service's; without the file there is none.
MAIN_PID = pathlib.Path("/run/main-pid")
# Where this is, nobody answers what process it is.
SILENT = pathlib.Path("/run/silent")
# Where this is, what is restarted does not come back.
FALLS = pathlib.Path("/run/falls")
UNIT = pathlib.Path("/usr/lib/systemd/system/rearguard.service")
USER = 61234  # one of those that DynamicUser gives


def as_user(words):
    """A command with the user and the rights that the unit gives."""
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--bounding-set=-all", *words]


def give(credentials):
    """The folder with the unit's credentials."""
    given = pathlib.Path("/run/credentials", UNIT.name)
    shutil.rmtree(given, ignore_errors=True)
    given.mkdir(parents=True)
    for name, path in credentials.items():
        shutil.copy(path, given / name)
    for path in given, *given.iterdir():
        os.chown(path, USER, USER)
        path.chmod(0o500 if path.is_dir() else 0o400)
    return given


def main(words):
    match words:
        case ["show", *_] if SILENT.exists():
            return 1
        case ["show", "--property=MainPID", "--value", UNIT.name]:
            print(MAIN_PID.read_text() if MAIN_PID.exists() else 0)
        case ["--quiet", "is-active", UNIT.name]:
            return 0 if MAIN_PID.exists() else 3
        case _ if "daemon-reload" in words:
            pass
        case _:
            with ASKED.open("a") as file:
                print(*words, file=file)
            if "try-restart" in words and FALLS.exists():
                MAIN_PID.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
