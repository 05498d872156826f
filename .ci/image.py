"""An image, held against the Deployment that will run it, and run as a kubelet would.

    python image.py OCI ROOT BINARY     OCI is an image layout, ROOT what went into it, BINARY gives the lab
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

import yaml

HERE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE / "tests/surface"))
from ground import call, wait_for  # noqa: E402

# Everything that the image has; whatever else is there was not meant to be.
FILES = {"usr/bin/rearguard": 0o755, "etc/ssl/certs/ca-certificates.crt": 0o644, "etc/passwd": 0o644, "etc/group": 0o644}
STATE = "var/lib/rearguard"
NAME = "platform.test"  # told by /etc/hosts alone


def of_manifest():
    """Pod and container of the Deployment that runs the image."""
    documents = yaml.safe_load_all((HERE / "deploy/kubernetes/base/deployment.yaml").read_text())
    spec = next(document for document in documents if document["kind"] == "Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec["securityContext"], container


def blob(layout, descriptor):
    return layout / "blobs" / descriptor["digest"].replace(":", "/")


def read(layout):
    """The image's configuration, and its files by path."""
    (index,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(layout, index).read_text())
    members = {}
    for layer in manifest["layers"]:
        with tarfile.open(blob(layout, layer)) as tar:
            members |= {member.name.strip("./"): member for member in tar if member.name.strip("./")}
    print(f"the image is {sum(layer['size'] for layer in manifest['layers']) / 1e6:.1f} MB, {index['digest'][:19]}")
    return json.loads(blob(layout, manifest["config"]).read_text())["config"], members


def wrong(config, members, root):
    """What is not as the manifests, or the word "nothing else", want it."""
    pod, container = of_manifest()
    user = f"{pod['runAsUser']}:{pod['runAsGroup']}"
    if config["User"] != user:
        yield f"the image runs as {config['User']} and the pod as {user}"
    if config["Entrypoint"] != ["/usr/bin/rearguard"] or config["Cmd"] != container["args"]:
        yield f"the image runs {config['Entrypoint']} {config['Cmd']}, the pod {container['args']}"
    if list(config["ExposedPorts"]) != [f"{container['ports'][0]['containerPort']}/tcp"]:
        yield f"the image listens on {config['ExposedPorts']}"
    files = {name: member.mode & 0o7777 for name, member in members.items() if not member.isdir()}
    if files != FILES:
        yield f"the image has {files}"
    for name, member in members.items():
        owner = 65532 if name == STATE else 0
        if (member.uid, member.gid) != (owner, owner) or member.mode & 0o7022:
            yield f"{name} belongs to {member.uid}:{member.gid}, with mode {member.mode:o}"
    if STATE not in members:
        yield "there is no folder for the journal"
    if (root / "etc/ssl/certs/ca-certificates.crt").read_text().count("BEGIN CERTIFICATE") < 50:
        yield "hardly anybody is trusted"


def bundle(layout, folder, mounts):
    """What runc runs: the image as it wants to be run, with what the pod allows."""
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:rearguard", folder / "run"], check=True, capture_output=True)
    path = folder / "run/config.json"
    spec = json.loads(path.read_text())
    process = spec["process"]
    process |= {"terminal": False, "noNewPrivileges": True, "capabilities": {}}
    process["user"]["additionalGids"] = [of_manifest()[0]["fsGroup"]]
    spec["root"]["readonly"] = True
    spec["linux"].pop("resources", None)
    # The lab is on this machine's loopback.
    spec["linux"]["namespaces"] = [each for each in spec["linux"]["namespaces"] if each["type"] != "network"]
    spec["mounts"] = [each for each in spec["mounts"] if each["type"] != "cgroup"] + [
        {"destination": to, "type": "none", "source": str(source), "options": ["bind", *options]} for to, source, options in mounts
    ]
    path.write_text(json.dumps(spec))
    return folder / "run"


def pod(folder, binary):
    """The lab, and the volumes of a pod that guards an app of it."""
    lab = subprocess.Popen([binary, "lab", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    said = ""
    while "Stop with" not in said:
        line = lab.stdout.readline()
        assert line, said
        said += line
    api = re.search(r"api +(\S+)\n", said).group(1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"127.0.0.1:{free.getsockname()[1]}"
    for name in "config", "secrets", "state":
        (folder / name).mkdir()
    secrets = {"do-token": re.search(r"token +(\S+)", said).group(1), "admin-token": "a-long-word"}
    for name, text in secrets.items():
        (folder / "secrets" / name).write_text(text)
        (folder / "secrets" / name).chmod(0o440)
        os.chown(folder / "secrets" / name, 0, 65532)
    os.chown(folder / "state", 0, 65532)
    (folder / "state").chmod(0o2770)
    (folder / "hosts").write_text(f"127.0.0.1 localhost {NAME}\n")
    text = yaml.safe_load((HERE / "deploy/kubernetes/base/config.yaml").read_text())["data"]["rearguard.yaml"]
    config = yaml.safe_load(text)
    config |= {"listen": url, "control_probes": [{"url": f"{api}/up"}]}
    config["platforms"][0] |= {"api": api, "poll": "1s"}
    (app,) = config["apps"]
    site = f"{api.replace('127.0.0.1', NAME)}/sites/shop/healthz"
    app |= {"id": re.search(r"app +shop, id (\S+)", said).group(1), "watch": "5s", "soak": {"period": "5s", "min_samples": 3}}
    app["probes"] = [{"name": "home", "url": site, "period": "500ms"}]
    (folder / "config/rearguard.yaml").write_text(yaml.safe_dump(config))
    return lab, f"http://{url}"


def run(layout, binary):
    _, container = of_manifest()
    read_only = {mount["mountPath"]: ["ro"] if mount.get("readOnly") else ["rw"] for mount in container["volumeMounts"]}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        lab, url = pod(folder, binary)
        of_pod = {"/etc/rearguard": "config", "/run/secrets/rearguard": "secrets", "/var/lib/rearguard": "state"}
        mounts = [(to, folder / name, read_only[to]) for to, name in of_pod.items()] + [("/etc/hosts", folder / "hosts", ["ro"])]
        where = bundle(layout, folder, mounts)
        log = open(folder / "log", "w+")
        command = ["runc", "--root", folder / "runc", "run", "--bundle", where, f"rearguard-{os.getpid()}"]
        daemon = subprocess.Popen(command, stdout=log, stderr=log)

        def steady():
            assert daemon.poll() is None, f"it ended with {daemon.returncode}: {(folder / 'log').read_text()}"
            try:
                return call(f"{url}/api/v1/apps/checkout")[1].get("state") == "steady"
            except OSError:
                return False

        try:
            wait_for("a steady app", steady)
            with urllib.request.urlopen(f"{url}/ready", timeout=15) as ready:
                assert ready.status == 200
            # By the only program that is there.
            status = subprocess.run([*command[:3], "exec", command[-1], "/usr/bin/rearguard", "status"], capture_output=True, text=True)
            assert status.returncode == 0 and "checkout" in status.stdout, status
            shell = subprocess.run([*command[:3], "exec", command[-1], "/bin/sh"], capture_output=True, text=True)
            assert shell.returncode != 0 and "no such file" in shell.stderr, shell
            owner = (folder / "state/rearguard.db").stat()
            assert owner.st_uid == 65532, f"it ran as {owner.st_uid}"
        finally:
            daemon.terminate()
            code = daemon.wait(60)
            lab.terminate()
            lab.wait(10)
        assert code == 0, f"it ended with {code}: {(folder / 'log').read_text()}"
    print("run by runc as the pod would: read-only, as 65532, without capabilities; drained with 0")


def main(layout, root, binary):
    problems = list(wrong(*read(layout), root))
    if problems:
        raise SystemExit("\n".join(problems))
    if shutil.which("runc") and shutil.which("umoci") and os.getuid() == 0:
        run(layout, binary)
    else:
        print("SKIPPED: no runc and umoci, or not root: the image is not run")


if __name__ == "__main__":
    began = time.monotonic()
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3])
    print(f"after {time.monotonic() - began:.0f} s")
