"""Writes the operator's resources and the dashboard as literals of the types of those who read them.

    python typed.py MONITORING.yaml DASHBOARD.json FOLDER

FOLDER/typed.mts is for tsc, which refuses keys that nobody knows; FOLDER/validate.mjs for node, which holds values against patterns.
"""

import json
import pathlib
import sys

import yaml

# JSON has the words of an enum where the types want the enum, and an annotation has what Prometheus is asked for it.
GRAFANA = """
import type { AnnotationQuery, Dashboard } from "@grafana/schema";
type Words<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Words<T[K]> } : T;
type Asked = AnnotationQuery & { expr: string; step: string; titleFormat: string; textFormat: string; tagKeys: string };
type Shown = Words<Omit<Dashboard, "annotations" | "id"> & { annotations: { list: Asked[] } }>;
"""
OPERATOR = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"


def of_layout(panels):
    """What is wrong with where the panels are."""
    places = {}
    for panel in panels:
        grid = panel["gridPos"]
        if grid["x"] + grid["w"] > 24:
            yield f"{panel['title']} is wider than the dashboard"
        for place in ((x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])):
            if place in places:
                yield f"{panel['title']} covers {places[place]}"
                break
            places[place] = panel["title"]
    if len({panel["id"] for panel in panels}) != len(panels):
        yield "two panels have one id"


def main():
    monitoring, dashboard, folder = (pathlib.Path(word) for word in sys.argv[1:])
    resources = [document for document in yaml.safe_load_all(monitoring.read_text()) if document]
    kinds = sorted({resource["kind"] for resource in resources})
    typed = [
        f'import type {{ {", ".join(f"I{kind}" for kind in kinds)} }} from "{OPERATOR}";',
        GRAFANA,
    ]
    checked = [f'import {{ {", ".join(kinds)} }} from "{OPERATOR}";']
    for number, resource in enumerate(resources):
        literal = json.dumps(resource)
        typed.append(f"export const resource{number}: I{resource['kind']} = {literal};")
        checked.append(f"new {resource['kind']}({literal}).validate();")
    typed.append(f"export const dashboard: Shown = {dashboard.read_text()};")
    wrong = [*of_layout(json.loads(dashboard.read_text())["panels"])]
    if wrong:
        raise SystemExit("\n".join(wrong))
    (folder / "typed.mts").write_text("\n".join(typed) + "\n")
    checked.append(f'console.log("{len(resources)} resources of the operator and the dashboard are of their types");')
    (folder / "validate.mjs").write_text("\n".join(checked) + "\n")


if __name__ == "__main__":
    main()
