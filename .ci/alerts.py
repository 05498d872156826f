"""What belongs to the alerts besides their expressions: a runbook each, a test in which it fires, and the same rules for the
Prometheus operator.

    python alerts.py            compares
    python alerts.py --write    writes deploy/kubernetes/monitoring/rules.yaml anew from deploy/prometheus/rules.yaml
"""

import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).parent.parent
RULES = HERE / "deploy/prometheus/rules.yaml"
TESTS = HERE / "deploy/prometheus/rules_test.yaml"
ROUTES = HERE / "deploy/prometheus/alertmanager.yaml"
README = HERE / "deploy/README.md"
DAEMON = HERE / "src/notify/alertmanager.rs"
OPERATOR = HERE / "deploy/kubernetes/monitoring/rules.yaml"
CONCEPTS = HERE / "docs/concepts.md"
RUNBOOKS = HERE / "docs/runbooks.md"
PARTS = ["Means", "Look", "Do", "Ends"]
SEVERITIES = ["critical", "warning", "info"]


def alerts():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def of_runbooks(alerts):
    """What is wrong with the runbooks."""
    text = RUNBOOKS.read_text()
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    for name in alerts.keys() - sections.keys():
        yield f"{name} has no section"
    for name in sections.keys() - alerts.keys():
        yield f"the section {name} has no alert"
    for name, section in sections.items():
        parts = re.findall(r"^\*\*(\w+)\*\* ", section, re.M)
        if parts != PARTS:
            yield f"the section {name} has {parts} and not {PARTS}"
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.M)}
    for anchor in re.findall(r"\]\(#([^)]*)\)", text):
        if anchor not in anchors:
            yield f"#{anchor} leads nowhere"
    # The table at the top: a column for each severity.
    told = {}
    for row in re.findall(r"^\|(.+)\|$", text, re.M):
        for severity, cell in zip(SEVERITIES, row.split("|")):
            told.update((name, severity) for name in re.findall(r"\[(\w+)\]", cell))
    said = {name.removeprefix("Rearguard"): rule["labels"]["severity"] for name, rule in alerts.items()}
    for name in said.keys() | told.keys():
        if said.get(name) != told.get(name):
            yield f"{name} is {said.get(name)} in the rules and {told.get(name)} in the table"


def of_tests(alerts):
    """Alerts of which no test says that they fire."""
    fire = set()
    for test in yaml.safe_load(TESTS.read_text())["tests"]:
        for asked in test.get("promql_expr_test", []):
            for sample in asked["exp_samples"]:
                fire |= set(re.findall(r'alertname="(\w+)"', sample["labels"]))
        fire |= {asked["alertname"] for asked in test.get("alert_rule_test", []) if asked["exp_alerts"]}
    yield from (f"{name} fires in no test" for name in sorted(alerts.keys() - fire))


def of_alerts(alerts):
    """What is wrong with what the alerts say."""
    for name, rule in alerts.items():
        notes = rule["annotations"]
        if set(notes) != {"summary", "description", "runbook_url"} or set(rule["labels"]) != {"severity"}:
            yield f"{name} has the annotations {sorted(notes)} and the labels {sorted(rule['labels'])}"
        if not notes.get("runbook_url", "").endswith(f"/docs/runbooks.md#{name.lower()}"):
            yield f"{name} links {notes.get('runbook_url')}"
        if rule["labels"]["severity"] not in SEVERITIES:
            yield f"{name} is {rule['labels']['severity']}"


def words(pattern):
    """What a matcher's pattern stands for, as `Rearguard(Blind|NotReady)` for two."""
    start, _, rest = pattern.partition("(")
    return [start + word for word in rest.rstrip(")").split("|")]


def of_routes(alerts):
    """Labels and values in routes, and in the silence of the documents, that no alert has."""
    series = [asked["series"] for test in yaml.safe_load(TESTS.read_text())["tests"] for asked in test["input_series"]]
    # Those of the rules, and of the daemon's own alerts.
    known = dict.fromkeys([*re.findall(r'(\w+)="', " ".join(series)), "incident"], set(re.findall(r"`(\w+)`", CONCEPTS.read_text())))
    known["alertname"] = set(alerts) | set(re.findall(r'"(Rearguard\w+)"', DAEMON.read_text()))
    known["severity"] = set(SEVERITIES)
    routes = yaml.safe_load(ROUTES.read_text())
    inner = routes["route"]["routes"]
    matchers = [matcher for route in inner for matcher in route["matchers"]]
    labels = {label for route in [routes["route"], *inner] for label in route.get("group_by", [])}
    for rule in routes["inhibit_rules"]:
        if not {"job", "instance"} <= set(rule["equal"]):
            yield f"{rule['source_matchers']} of one daemon keeps another's alerts back"
        matchers += rule["source_matchers"] + rule["target_matchers"]
        labels |= set(rule["equal"])
    for matcher in matchers:
        label, pattern = re.fullmatch(r'(\w+)(?:=~|!~|!=|=)"(.*)"', matcher).groups()
        labels.add(label)
        yield from (f"{matcher}: no alert has {word}" for word in words(pattern) if word not in known.get(label, [word]))
    for block in re.findall(r"^ *amtool silence (?:.*\\\n)*.*", README.read_text(), re.M):
        said = dict(re.findall(r"(?<=\s)(\w+)=([\w-]+)", block))
        labels |= said.keys()
        if said["alertname"] not in known["alertname"]:
            yield f"a silence names {said['alertname']}"
    yield from (f"{ROUTES} or {README} names the label {label}, which no alert has" for label in sorted(labels - known.keys()))


def for_operator():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "rearguard"},
        "spec": {"groups": groups},
    }


def main():
    if "--write" in sys.argv:
        head = "# Written by `python .ci/alerts.py --write` from deploy/prometheus/rules.yaml.\n"
        OPERATOR.write_text(head + yaml.safe_dump(for_operator(), sort_keys=False, width=120))
    wrong = [*of_runbooks(alerts()), *of_tests(alerts()), *of_alerts(alerts()), *of_routes(alerts())]
    if yaml.safe_load(OPERATOR.read_text()) != for_operator():
        wrong.append(f"{OPERATOR} is not what {RULES} says; write it with --write")
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(f"{len(alerts())} alerts, each with its runbook and a test, and the same for the Prometheus operator")


if __name__ == "__main__":
    main()
