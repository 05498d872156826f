"""What `init` prints, put into the manifests as deploy/README.md says, for each platform: `check` takes it."""

import re
import subprocess

import yaml

from commands import ROOT
from configurations import Checks

README = ROOT / "deploy/README.md"
MANIFESTS = ["base", "sidecar", "sidecar-example"]
# Where the lab speaks as each platform.
PLATFORMS = {"digitalocean": "", "sevalla": "/v3"}


def cut():
    """The command that takes the apps out of what `init` printed."""
    (found,) = re.findall(r"^ *(sed -n '/\^apps:.* rearguard\.yaml)", README.read_text(), re.M)
    return found


def apps(ground, checks, platform):
    """What a person copies."""
    words = ["init", "--platform", platform, "--token-file", str(ground.path / "token"), "--api", ground.lab + PLATFORMS[platform]]
    folder = ground.path / platform
    folder.mkdir()
    answer = subprocess.run([ground.binary, *words], capture_output=True, text=True, env=checks.bare, check=True)
    (folder / "rearguard.yaml").write_text(answer.stdout)
    return subprocess.run(["bash", "-c", cut()], cwd=folder, capture_output=True, text=True, check=True).stdout


def hold(ground):
    """Gives what is not accepted once it is pasted."""
    checks, wrong = Checks(ground), []
    for platform in PLATFORMS:
        copied = apps(ground, checks, platform)
        assert "probes:" in copied, copied
        for name in MANIFESTS:
            text = (ROOT / f"deploy/kubernetes/{name}/config.yaml").read_text()
            # They are the last that stands there.
            manifest = re.sub(r"^    apps:\n.*\Z", lambda _: copied, text, flags=re.M | re.S)
            manifest = manifest.replace("kind: digitalocean", f"kind: {platform}")
            found, said = checks.check(yaml.safe_load(manifest)["data"]["rearguard.yaml"])
            if found or not re.search(r"shop|blog", said):
                wrong.append(f"kubernetes/{name}/config.yaml with the apps of init for {platform}: {found or said}")
    print(f"the apps that init finds on {' and '.join(PLATFORMS)} are accepted in {len(MANIFESTS)} manifests")
    return wrong
