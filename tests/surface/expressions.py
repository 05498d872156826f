"""The expressions of rules and dashboard, held against the series that there are: each name, label and value in them exists."""

import json
import pathlib
import re

import promql_parser as promql
import yaml

DEPLOY = pathlib.Path(__file__).parent.parent.parent / "deploy"
RULES = DEPLOY / "prometheus/rules.yaml"
DASHBOARD = DEPLOY / "grafana/rearguard.json"
# What Prometheus gives a target, its operator a pod, and the documents who has several environments.
TARGET = {"job", "instance", "namespace", "pod", "container", "endpoint", "environment", "le", "__name__"}
# What Grafana puts in.
FILLED = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    '"$job"': '".*"',
    '"$app"': '".*"',
    '"$rule"': '"down"',
}


def of_rules():
    """Each expression of the rules, and where it stands."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]


def of_dashboard():
    """Each expression of the dashboard, and where it stands."""
    dashboard = json.loads(DASHBOARD.read_text())
    found = [(note["name"], note["expr"]) for note in dashboard["annotations"]["list"]]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            found.append((f"${variable['name']}", f"count by ({label}) ({series})"))
    for panel in dashboard["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    for where, text in found:
        for word, value in FILLED.items():
            text = text.replace(word, value)
        if "$" in text:
            raise SystemExit(f"{where} of the dashboard has something that is not known here: {text}")
        yield f"{where} of the dashboard", text


def selectors(expression):
    """Every selector below an expression, and every list of labels with the selectors that it is about."""
    found, lists = [], []

    def go(node):
        mine = []
        if isinstance(node, promql.VectorSelector):
            mine = [node]
            found.append(node)
        elif isinstance(node, promql.MatrixSelector):
            mine = go(node.vector_selector)
        else:
            for part in ("expr", "lhs", "rhs", "param"):
                below = getattr(node, part, None)
                if below is not None and not isinstance(below, (str, float)):
                    mine += go(below)
            for below in getattr(node, "args", []):
                mine += go(below)
        modifier = getattr(node, "modifier", None)
        grouped = getattr(modifier, "labels", None) or getattr(getattr(modifier, "matching", None), "labels", None)
        if grouped:
            lists.append((set(grouped), mine))
        return mine

    go(expression)
    return found, lists


def wrong(where, text, series):
    """What is not so in one expression. `series` gives the label sets of a metric."""
    found, lists = selectors(promql.parse(text))
    if not found and text.strip():
        yield f"{where}: nothing is selected by {text}"
    for selector in found:
        sets = series(selector.name)
        if not sets:
            yield f"{where}: there is no metric {selector.name}"
            continue
        for matcher in selector.matchers.matchers:
            values = {one.get(matcher.name) for one in sets} - {None}
            # A regex names several values, and each of them has to be one.
            is_regex = str(matcher.op) in ("MatchOp.Re", "MatchOp.NotRe")
            for value in matcher.value.split("|") if is_regex else [matcher.value]:
                if not any(re.fullmatch(value, one) if is_regex else value == one for one in values):
                    yield f'{where}: {selector.name} has no {matcher.name}="{value}", but {sorted(values)}'
    for labels, about in lists:
        there = {label for selector in about for one in series(selector.name) for label in one}
        for label in labels - there - TARGET:
            yield f"{where}: nothing there has the label {label}"


def unused(names):
    """Metrics of which the dashboard shows nothing and no rule says anything."""
    words = set(re.findall(r"rearguard_\w+", RULES.read_text() + DASHBOARD.read_text()))
    return {name for name in names if words.isdisjoint({name, f"{name}_bucket"})}
