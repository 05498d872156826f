"""The commands that stand in documents: each is run against a lab, asked for its arguments, or said not to be run and why."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import tomllib

import clients
from ground import TOKEN

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "deploy/README.md", *sorted((ROOT / "docs").glob("*.md"))]
JOURNAL = "/var/lib/rearguard/rearguard.db"
# What another check runs, and what this machine does not have.
ELSEWHERE = {
    "promtool": "run by .ci/prometheus", "amtool": "run by .ci/prometheus",
    "cargo": "run by .ci/run, or too long for it; here only that what it names is there",
    "kubectl": "needs a cluster; here its words and options, the manifests by .ci/kubernetes", "systemctl": "needs systemd as the first process",
    "journalctl": "needs systemd as the first process", "systemd-analyze": "run by .ci/shipped",
    "install": "changes this machine", "apt-get": "done by dpkg in .ci/package", "rustup": "done by .ci/supply",
    "docker": "needs an engine; here its words and options, and .ci/image builds by buildah and runs by runc",
    "deploy/release": "takes too long; its parts are run by .ci/supply, .ci/package and .ci/image", "sed": "changes files",
    "mv": "changes files", "useradd": "changes this machine",
    "rm": "changes files", "cat": "changes files", "echo": "changes files", "touch": "changes files; tried by cargo test", "openssl": "is no command of ours",
    "df": "looks at a machine", "dmesg": "looks at a machine", "ls": "looks at a machine", "ss": "looks at a machine",
    "timedatectl": "looks at a machine", "printf": "is a recipe; tried by cargo test notify",
}  # fmt: skip
# Words of the shell itself.
SHELL = {"cd", "export", "true", "#"}
READING = {"status", "incidents", "explain", "check", "schema", "completions", "man", "init"}
NO_DAEMON = {"check", "schema", "completions", "man", "init", "run", "demo", "lab"}
PROGRAMS = {"rearguard", "curl", "sqlite3", *ELSEWHERE}


def without_blocks(text):
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.M | re.S)


def shells(text):
    """What stands in blocks for a shell."""
    return [block for _, block in re.findall(r"^( *)```sh\n(.*?)^\1```", text, re.M | re.S)]


def commands():
    """Each simple command once, with the document it stands in first, and what in a block for a shell is none that is known."""
    seen, unknown = {}, {}
    for document in DOCUMENTS:
        text = document.read_text()
        spans = re.findall(r"`([^`]+)`", without_blocks(text))
        lines = [line for block in shells(text) for line in block.replace("\\\n", " ").splitlines()]
        # Only what stands in a block is surely meant to be typed.
        for line, is_typed in [(line, True) for line in lines] + [(" ".join(span.split()), False) for span in spans]:
            line = line.replace("$(systemctl show --value --property=MainPID rearguard)", "PID")
            for command in re.split(r" (?:\|\||&&|\||&) ?|; |\$\(|\)$", re.sub(r"\s#\s.*", "", line.strip())):
                words = re.sub(r"^(?:[A-Z_]+=\S* |sudo |xargs --no-run-if-empty )+", "", command.strip().rstrip("&").strip())
                words = re.sub(r"^(?:cargo run (?:--release )?-- |/usr/bin/rearguard\.new )", "rearguard ", words)
                first = words.split()[:1]
                if first and first[0] in PROGRAMS and re.match(r"\S+ [^<]", words):
                    seen.setdefault(words, document.relative_to(ROOT))
                elif is_typed and first and first[0] not in PROGRAMS | SHELL:
                    unknown.setdefault(words, document.relative_to(ROOT))
    return seen, unknown


class Hold:
    """Tries commands on a ground, and keeps what is wrong and what was not tried."""

    def __init__(self, ground):
        self.ground = ground
        self.wrong = []
        self.told = {}
        self.without = set()
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("REARGUARD")}
        self.environment |= {"REARGUARD_CONFIG": str(ground.config), "REARGUARD_ADMIN_TOKEN": TOKEN}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.nobody = f"http://127.0.0.1:{free.getsockname()[1]}"

    def note(self, what, command):
        self.told.setdefault(what, []).append(command)

    def run(self, place, command, words, expected=0):
        answer = subprocess.run(words, capture_output=True, text=True, env=self.environment, cwd=self.ground.path, timeout=60)
        if answer.returncode != expected:
            self.wrong.append(f"{place}: {command}: ended with {answer.returncode}: {answer.stderr or answer.stdout}")
        return answer

    def rearguard(self, place, command):
        """As it stands, with what is there in the place of what is meant."""
        words = re.sub(r" > \S+$", "", command).split()[1:]
        # [APP] may be left out: both are tried.
        if any("[" in word for word in words):
            inner = re.sub(r" ?\[[^\]]*\]", "", command)
            self.rearguard(place, inner)
            return self.rearguard(place, command.replace("[", "").replace("]", ""))
        known = {"APP": "shop", "ID": "shop-1a2b3c4d", "FILE": str(self.ground.config), "rearguard.yaml": str(self.ground.config)}
        known |= {"DEPLOYMENT": "3aa4d20e-5527-4c00-b496-601fbd22520a", "SHELL": "bash", "DIR": "man", "checkout": "shop"}
        known |= {"http://HOST:9797": self.ground.url, "http://127.0.0.1:9797": self.ground.url, "F": str(self.ground.config)}
        known |= {"/etc/rearguard/rearguard.yaml": known["F"], "PID": str(self.ground.daemon.pid)}
        words = [known.get(word, word) for word in words]
        if words == ["check"] or words[0] in ("man", "completions", "schema") and "/" in " ".join(words):
            words = [re.sub(r"^/.*", "man", word) for word in words]
        (self.ground.path / "man").mkdir(exist_ok=True)
        if words[0] == "init":
            words = words if "--platform" in words else [*words, "--platform", "digitalocean"]
            words = words[: words.index("--token-file")] if "--token-file" in words else words
            words += ["--token-file", str(self.ground.path / "token"), "--api", self.ground.lab]
        if words[0] == "explain":
            words = ["shop" if word == "shop-1a2b3c4d" else word for word in words]
        self.dispatch(place, command, words)

    def dispatch(self, place, command, words):
        """Runs what changes nothing, and what can be taken back; the rest is asked of nobody, which takes right arguments."""
        binary, verb = self.ground.binary, words[0]
        at = [] if verb in NO_DAEMON or "--server" in words else ["--server", self.ground.url]
        if verb in READING:
            self.note("run against a lab", command)
            return self.run(place, command, [binary, *words, *at])
        if verb in ("pause", "resume"):
            self.note("run against a lab", command)
            words = words if len(words) > 1 else [*words, "--all"]
            self.run(place, command, [binary, *words, *at])
            return self.run(place, command, [binary, "resume", "--all", "--server", self.ground.url])
        if verb in ("demo", "lab"):
            self.note("tried by cargo test; here only its arguments", command)
            return self.run(place, command, [binary, *words, "--help"])
        if verb == "run":
            self.note("run wherever anything is; here only its arguments", command)
            return self.run(place, command, [binary, "run", "--config", "/nowhere/at/all.yaml", *words[3:]], expected=78)
        self.note("needs an incident, tried by cargo test; here only its arguments, without a daemon", command)
        if len(words) == 1:
            return self.run(place, command, [binary, verb, "--help"])
        self.run(place, command, [binary, *words, "--server", self.nobody], expected=1)

    def other(self, place, command):
        program, *words = command.split()
        if program == "curl" and not re.search(r"HOST:9797|127\.0\.0\.1:9797", command):
            return self.note("needs an address that is not here", command)
        if program == "curl":
            self.note("run against a lab", command)
            command = re.sub(r"http://(HOST|127\.0\.0\.1):9797", self.ground.url, command)
            return self.run(place, command, ["bash", "-c", command.replace("curl", "curl -fsS", 1)])
        if program == "sqlite3" and not shutil.which("sqlite3"):
            self.without.add("there is no sqlite3 to back up with as the documents say; install the package sqlite3")
        elif program == "sqlite3":
            self.note("run against a lab", command)
            mine = command.replace(JOURNAL, str(self.ground.path / "rearguard.db")).replace("/var/backups", str(self.ground.path))
            answer = self.run(place, command, ["bash", "-c", mine])
            if "PRAGMA" in command and answer.stdout.strip() != "ok":
                self.wrong.append(f"{place}: {command}: says {answer.stdout}")
            return
        if program in ("kubectl", "docker"):
            return self.of_client(place, program, command)
        self.note(ELSEWHERE.get(program, "there is no such program here"), command)
        if program == "cargo":
            self.wrong += [f"{place}: {command}: there is no {what}" for what in missing(words)]
        self.files(place, program, command)

    def of_client(self, place, program, command):
        """Its words and options, and the files; what needs no cluster is run."""
        if not clients.client(program):
            self.note(f"there is no {program} here that would say whether it knows its words and options", command)
        elif "--dry-run=client" in command:
            self.note("run against a lab", command)
            for name in re.findall(r"--from-file=(\S+)", command):
                (self.ground.path / name).write_text("a token")
            self.run(place, command, ["bash", "-c", command.replace("kubectl", clients.client(program), 1)])
        else:
            self.wrong += [f"{place}: {command}: {what}" for what in clients.wrong(program, command)]
            self.note(ELSEWHERE[program], command)
        self.files(place, program, command)

    def files(self, place, program, command):
        """That what a command names in the checkout is there."""
        words = command.split()[1:]
        folder = ROOT / "deploy" if str(place).startswith("deploy") else ROOT
        for before, word in zip(["", *words], words):
            # `deploy/rearguard` is also what kubectl calls a Deployment.
            is_file = program != "kubectl" or before in ("-f", "-k")
            if is_file and re.match(r"(prometheus|grafana|kubernetes|systemd|deploy|\.ci)/", word) and not (folder / word).exists():
                self.wrong.append(f"{place}: {command}: there is no {word}")


def missing(words):
    """What a command of cargo names and is not there."""
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    benches = {bench["name"] for bench in manifest.get("bench", [])}
    tests = {test["name"] for test in manifest.get("test", [])} | {path.parent.name for path in (ROOT / "tests").glob("*/main.rs")}
    text = None
    if words[0] in ("build", "install") and "--locked" not in words:
        yield "--locked, by which it is built of what Cargo.lock says"
    for before, word in zip(["", *words], words):
        if before == "--bench" and word not in benches:
            yield f"bench {word}"
        if before == "--test" and word not in tests:
            yield f"test {word}"
        if words[0] == "test" and before not in ("--test", "--bench") and re.fullmatch(r"[a-z_:]{4,}", word) and word not in ("test",):
            text = text or "\n".join(path.read_text() for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.rs"))
            if not re.search(rf"\b(fn|mod) \w*{word.rpartition('::')[2]}", text):
                yield f"test that is called {word}"


def hold(ground):
    """Gives what documents say that is not so."""
    holding = Hold(ground)
    found, unknown = commands()
    holding.wrong += [f"{place}: {command}: is no command that is known here" for command, place in unknown.items()]
    for command, place in found.items():
        if command.startswith("rearguard "):
            holding.rearguard(place, command)
        else:
            holding.other(place, command)
    for document in DOCUMENTS:
        for block in shells(document.read_text()):
            answer = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
            if answer.returncode:
                holding.wrong.append(f"{document.relative_to(ROOT)}: {answer.stderr}")
    for why in sorted(holding.without):
        print(f"SKIPPED: {why}")
    print(f"{len(found)} commands in {len(DOCUMENTS)} documents:")
    for what, each in holding.told.items():
        ran = what.startswith("run against")
        print(f"  {'' if ran else 'NOT RUN, '}{what}: {len(each) if ran else ' · '.join(dict.fromkeys(each))}")
    assert len(holding.told["run against a lab"]) > 15, "the documents were not understood"
    print("  of `init` and `check --online` the lab was asked and not a platform: that needs an account")
    return holding.wrong
