"""What the documents say of the program, held against it: commands, configurations, and the words of its surface.

    python documents.py BINARY
"""

import json
import re
import sys
import time
import urllib.request

import commands
import configurations
import pasted
import restored
import started
from commands import ROOT
from ground import Ground, call

CONCEPTS = ROOT / "docs/concepts.md"
INTERFACES = ROOT / "docs/interfaces.md"


def of_surface(ground):
    """Metric families and paths that the binary has and the documents do not, or the other way round."""
    text = INTERFACES.read_text()
    metrics = urllib.request.urlopen(f"{ground.url}/metrics", timeout=15).read().decode()
    families = set(re.findall(r"^# TYPE (rearguard_\w+)", metrics, re.M))
    named = set(re.findall(r"^\| `(rearguard_\w+)` \|", text, re.M))
    yield from (f"docs/interfaces.md: {name} is in one of metrics and document only" for name in families ^ named)
    paths = set(call(f"{ground.url}/api/v1/openapi.json")[1]["paths"])
    named = set(re.findall(r"`(/api/v1/[^`\s]*)`", text)) - {"/api/v1/openapi.json"}
    yield from (f"docs/interfaces.md: {path} is in one of API and document only" for path in paths ^ named)
    concepts = CONCEPTS.read_text()
    for label in ("state", "reason", "cause", "outcome", "decision"):
        for word in sorted(set(re.findall(rf'^rearguard_(?:app|decisions|blind|incidents)\w*{{[^}}]*\b{label}="(\w+)"', metrics, re.M))):
            if f"`{word}`" not in concepts:
                yield f"docs/concepts.md: {label} {word} is not there"
    yield from of_schemas(ground, concepts)
    print(f"{len(families)} metric families, {len(paths)} paths of the API, and every state, reason, cause and outcome is there")


def of_schemas(ground, concepts):
    """Words of the API that no metric has, and kinds of events."""
    document = json.dumps(call(f"{ground.url}/api/v1/openapi.json")[1])
    for word in re.findall(r'"(restarting|validating|awaiting_approval|rolling_back|soaking|committing|reverting)"', document):
        if f"`{word}`" not in concepts:
            yield f"docs/concepts.md: stage {word} is not there"
    kinds = re.findall(r"^\| (.+?) \| ", (ROOT / "docs/notifications.md").read_text(), re.M)
    named = set(re.findall(r"`(\w+)`", " ".join(kinds)))
    schema = json.loads(commands.Hold(ground).run("docs", "schema", [ground.binary, "schema"]).stdout)
    known = set(schema["$defs"]["Channel"]["properties"]["only"]["items"]["enum"])
    yield from (f"docs/notifications.md: the kind {word} is in one of schema and document only" for word in known ^ named)


def main(binary):
    # A channel, and a figure of the account, for the families that are there only with them.
    channel = "notify: [{ name: ops, kind: webhook, url: 'http://127.0.0.1:9/' }]"
    with Ground(binary, platform=", balance: 6h", more=channel) as ground:
        ground.until("a steady app", lambda app: app["state"] == "steady")
        # One incident to be told of.
        ground.release("v2", is_bad=True)
        ground.until("a rollback that waits", lambda app: app["stage"] == "awaiting_approval")
        wrong = [*commands.hold(ground), *configurations.hold(ground), *pasted.hold(ground), *started.hold(ground), *of_surface(ground)]
        wrong += restored.hold(ground)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    began = time.monotonic()
    main(sys.argv[1])
    print(f"after {time.monotonic() - began:.0f} s")
