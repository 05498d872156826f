"""The API held against its own document by schemathesis, with the admin token and without, while apps are guarded.

    python api.py BINARY
"""

import pathlib
import subprocess
import sys

from ground import TOKEN, Ground, call

SCHEMATHESIS = str(pathlib.Path(sys.executable).parent / "schemathesis")
# A stream of events has no end, which the tests of the crate look after.
COMMON = ["--exclude-path", "/api/v1/events", "--seed", "1", "--no-color", "--request-timeout", "20"]


def fuzz(ground, *words):
    run = [SCHEMATHESIS, "run", f"{ground.url}/api/v1/openapi.json", *COMMON, *words]
    code = subprocess.run(run, cwd=ground.path).returncode
    if code:
        raise SystemExit(f"schemathesis found that the API is not what its document says (exit {code})")


def main(binary):
    with Ground(binary, mode="enforce") as ground:
        ground.until("a steady app", lambda app: app["state"] == "steady")
        # An incident with all that belongs to it is there to be read.
        ground.release("v2", is_bad=True)
        ground.until("an incident", lambda app: app["incident"])
        ground.until("its end", lambda app: app["state"] != "incident")
        fuzz(ground, "--max-examples", "40", "--header", f"Authorization: Bearer {TOKEN}")
        # Whoever has no token changes nothing: what is paused stays so, by the same word, and nothing else comes to be. A pause
        # of those so far may end by itself.
        call(f"{ground.url}/api/v1/resume", "POST", {}, TOKEN)
        call(f"{ground.url}/api/v1/apps/shop/pause", "POST", {}, TOKEN)
        before = ground.app()["pause"]
        assert before["scope"] == "app" and before["until"] is None, before
        fuzz(ground, "--max-examples", "10", "--include-method", "POST")
        assert ground.app()["pause"] == before
        call(f"{ground.url}/api/v1/resume", "POST", {}, TOKEN)
        status, _ = call(f"{ground.url}/api/v1/apps")
        assert status == 200
        ground.until("an app that is guarded", lambda app: not app["paused"])
        log = (ground.path / "log").read_text()
        assert "panicked" not in log, log[-2000:]
        assert TOKEN not in log, "the admin token stands in the log"
    print("the API is what its document says")


if __name__ == "__main__":
    main(sys.argv[1])
