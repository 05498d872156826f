"""What no schema and no linter looks at in rendered manifests; prints them with sidecars as plain containers, for a linter.

    python manifests.py FILE... > PLAIN
"""

import pathlib
import re
import sys

import yaml

README = pathlib.Path(__file__).parent.parent / "deploy/README.md"
SECRETS = "/run/secrets/rearguard/"
# What the restricted Pod Security Standard asks of a container. A sidecar comes into pods that say nothing of it.
RESTRICTED = {
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}

# Where each probe has to ask. An app neither waits for its sidecar nor leaves its Service because of it.
PATHS = {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}


def guard(spec):
    """The container of rearguard, if there is just one, and whether it is a sidecar."""
    beside = [one for one in spec.get("initContainers", []) if one["name"] == "rearguard"]
    alone = [one for one in spec["containers"] if one["name"] == "rearguard"]
    found = beside + alone
    return found[0] if len(found) == 1 else None, bool(beside)


def of_pod(name, deployment):
    """What is wrong with a Deployment that has a rearguard in it."""
    spec = deployment["spec"]["template"]["spec"]
    container, is_beside = guard(spec)
    if container is None:
        yield f"{name} has not one container that is called rearguard"
        return
    if deployment["spec"]["replicas"] != 1 or deployment["spec"]["strategy"] != {"type": "Recreate"}:
        yield f"{name} may run two daemons at once"
    if is_beside and container.get("restartPolicy") != "Always":
        yield f"{name} waits for its guard to end"
    if deployment["spec"]["template"]["metadata"]["labels"].get("rearguard") != ("beside" if is_beside else "alone"):
        yield f"{name} has not the label by which it is scraped"
    if [port["name"] for port in container["ports"]] != ["rearguard"]:
        yield f"{name} has ports {container['ports']}"
    for probe, path in PATHS.items():
        wanted = None if is_beside and probe != "livenessProbe" else {"path": path, "port": "rearguard"}
        if container.get(probe, {}).get("httpGet") != wanted:
            yield f"{name} has the {probe} {container.get(probe)}"
    for mount in container["volumeMounts"]:
        if "subPath" in mount:
            yield f"{name} mounts {mount['mountPath']} by subPath, which is never updated"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    if mounts != {"/etc/rearguard", "/run/secrets/rearguard", "/var/lib/rearguard"}:
        yield f"{name} mounts {mounts}"
    secrets = next(volume["secret"] for volume in spec["volumes"] if "secret" in volume)
    if secrets["defaultMode"] != 0o440:
        yield f"{name} shows its secrets with mode {secrets['defaultMode']:o}"
    # What has that mode is read by a group: root's, or the one that all volumes are given.
    user = {**spec["securityContext"], **container["securityContext"]}
    if user["runAsUser"] == 0 or not user["runAsNonRoot"]:
        yield f"{name} runs as root"
    own = container["securityContext"] if is_beside else user
    for word, value in RESTRICTED.items():
        if own.get(word) != value:
            yield f"{name} has the {word} {own.get(word)} by its guard's own word"
    if "fsGroup" not in user and user["runAsGroup"] != 0:
        yield f"{name} cannot read its secrets"
    if "limits" in container["resources"] and "cpu" in container["resources"]["limits"]:
        yield f"{name} is throttled"


def of_journal(pod, deployments):
    """What is wrong with the pod that looks after a journal: it is the daemon's user, and takes its volume."""
    spec = pod["spec"]
    for one in (deployment["spec"]["template"]["spec"] for deployment in deployments):
        claims = [volume for volume in one["volumes"] if "persistentVolumeClaim" in volume]
        if claims and (spec["volumes"] != claims or spec["securityContext"] != one["securityContext"]):
            yield f"the pod {pod['metadata']['name']} has another volume or user than the daemon"


def created():
    """The Secret that deploy/README.md makes, and the files in it."""
    made = set(re.findall(r"create secret generic (\S+) ((?:--from-file=\S+ ?)+)", README.read_text()))
    ((name, words),) = {(name, words.strip()) for name, words in made}
    return name, set(re.findall(r"--from-file=(\S+)", words))


def of_references(documents):
    """What a pod names and nobody makes. The Secret is made by hand, with the tokens that the configuration names."""
    there = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in documents}
    secret, files = created()
    for one in documents:
        if one["kind"] not in ("Deployment", "Pod"):
            continue
        spec = one["spec"]["template"]["spec"] if one["kind"] == "Deployment" else one["spec"]
        named = [("ConfigMap", volume["configMap"]["name"]) for volume in spec["volumes"] if "configMap" in volume]
        named += [("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
        named += [("ServiceAccount", spec["serviceAccountName"])] if "serviceAccountName" in spec else []
        for kind, name in named:
            if (kind, one["metadata"].get("namespace"), name) not in there:
                yield f"{one['kind']} {one['metadata']['name']} names a {kind} {name} that is not there"
        for volume in spec["volumes"]:
            if "secret" in volume and volume["secret"]["secretName"] != secret:
                yield f"{one['metadata']['name']} takes the Secret {volume['secret']['secretName']}, and {README.name} makes {secret}"
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"] + spec.get("initContainers", []):
            yield from (f"{mount['name']} is mounted and is no volume" for mount in container.get("volumeMounts", []) if mount["name"] not in volumes)
    for one in (one for one in documents if one["kind"] == "ConfigMap"):
        tokens = re.findall(r"_file: (\S+)", one["data"].get("rearguard.yaml", ""))
        if not tokens or {token.removeprefix(SECRETS) for token in tokens} - files:
            yield f"the ConfigMap of {one['metadata']['namespace']} names the tokens {tokens}, and the Secret has {sorted(files)}"


def of_selectors(documents):
    """Selectors that do not find the pods they are meant for, and rules that let nothing or everything through."""
    pods = [one["spec"]["template"]["metadata"] | {"namespace": one["metadata"]["namespace"]} for one in documents if one["kind"] == "Deployment"]
    for one in documents:
        kind, spec, where = one["kind"], one.get("spec", {}), one["metadata"].get("namespace")
        near = [pod["labels"] for pod in pods if pod["namespace"] == where]
        if kind == "Deployment" and not spec["selector"].get("matchLabels", {}).items() <= spec["template"]["metadata"]["labels"].items():
            yield f"the Deployment {one['metadata']['name']} does not select its own pods"
        if kind == "Service" and not (spec["selector"] and all(spec["selector"].items() <= labels.items() for labels in near)):
            yield f"the Service selects {spec['selector']}"
        if kind == "NetworkPolicy":
            if "matchExpressions" in spec["podSelector"] or not all(spec["podSelector"].get("matchLabels", {}).items() <= labels.items() for labels in near):
                yield f"the NetworkPolicy is for {spec['podSelector']}"
            blocks = [to["ipBlock"]["cidr"] for rule in spec.get("egress", []) for to in rule["to"] if "ipBlock" in to]
            if sorted(spec["policyTypes"]) != ["Egress", "Ingress"] or blocks != ["0.0.0.0/0", "::/0"]:
                yield f"the NetworkPolicy lets {blocks} out, of {spec['policyTypes']}"
            if not all(rule.get("from") and rule.get("ports") for rule in spec["ingress"]):
                yield "the NetworkPolicy lets everybody in"
        if kind == "PodMonitor":
            keys = [each["key"] for each in spec["selector"].get("matchExpressions", []) if each["operator"] == "Exists"]
            if spec["namespaceSelector"] != {"any": True} or len(keys) != 1 or not all(keys[0] in pod["labels"] for pod in pods):
                yield f"the PodMonitor finds {spec['selector']} in {spec['namespaceSelector']}"
        if kind == "Namespace" and one["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"the namespace {one['metadata']['name']} enforces {one['metadata'].get('labels')}"
        if where and where not in {each["metadata"]["name"] for each in documents if each["kind"] == "Namespace"}:
            yield f"nobody makes the namespace {where}"


def of_names(documents):
    """Ports are told by the one name."""
    for document in documents:
        named = []
        if document["kind"] == "Service":
            named = [port["targetPort"] for port in document["spec"]["ports"]]
        if document["kind"] == "NetworkPolicy":
            named = [port["port"] for rule in document["spec"]["ingress"] for port in rule["ports"]]
        if document["kind"] == "PodMonitor":
            named = [end["port"] for end in document["spec"]["podMetricsEndpoints"]]
        if set(named) - {"rearguard"}:
            yield f"{document['kind']} names the ports {named}"


def of_budgets(budgets, deployments):
    """What is wrong with what whoever drains a node asks: they are to get a yes, and for the daemon only. A pod without a
    controller that it covered would be a no for all."""
    for budget in (budget["spec"] for budget in budgets):
        if "minAvailable" in budget or budget["maxUnavailable"] != 1 or budget["unhealthyPodEvictionPolicy"] != "AlwaysAllow":
            yield "a PodDisruptionBudget keeps a node of one replica from being drained"
        if [budget["selector"]] != [deployment["spec"]["selector"] for deployment in deployments if not guard(deployment["spec"]["template"]["spec"])[1]]:
            yield f"a PodDisruptionBudget is for {budget['selector']}"


def plain(document):
    """The same with sidecars as containers, since linters pass init containers over. A sidecar has no readiness probe for a
    reason (patch.yaml); it is given one here so that the app's own stays looked after."""
    spec = document.get("spec", {}).get("template", {}).get("spec", {})
    for sidecar in [one for one in spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]:
        spec["initContainers"].remove(sidecar)
        del sidecar["restartPolicy"]
        sidecar["readinessProbe"] = sidecar["livenessProbe"]
        spec["containers"].append(sidecar)
    return document


def main():
    documents, wrong = [], []
    for file in sys.argv[1:]:
        with open(file) as text:
            documents += [document for document in yaml.safe_load_all(text) if document]
    deployments = [document for document in documents if document["kind"] == "Deployment"]
    for deployment in deployments:
        wrong += of_pod(deployment["metadata"]["name"], deployment)
    for pod in [document for document in documents if document["kind"] == "Pod"]:
        wrong += of_journal(pod, deployments)
    wrong += of_budgets([document for document in documents if document["kind"] == "PodDisruptionBudget"], deployments)
    wrong += [*of_names(documents), *of_references(documents), *of_selectors(documents)]
    if not deployments:
        wrong.append("there is no Deployment to look at")
    if wrong:
        raise SystemExit("\n".join(wrong))
    print(yaml.safe_dump_all([plain(document) for document in documents], sort_keys=False), end="")


if __name__ == "__main__":
    main()
