"""Checks what is in `deploy` as far as that goes without a container engine and without a cluster.

    python check.py HELM PROMTOOL

Carried out by `cargo xtask deploy-check`, with the packages of requirements.txt. Says what it could not check.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

DEPLOY = Path(__file__).resolve().parent.parent
ROOT = DEPLOY.parent
CHART = DEPLOY / "helm" / "baton"
SCHEMA = ROOT / "config" / "schema.json"
BIN = Path(sys.executable).parent
LIMIT_SECS = 120

MINIMAL = ["--set", "livekit.url=wss://livekit.example.com", "--set", "livekit.existingSecret=keys"]
EVERYTHING = [
    *MINIMAL,
    *("--set", "api.enabled=true", "--set", "api.tokenSecret=operator", "--set", "redis.existingSecret=redis"),
    *("--set", "autoscaling.enabled=true", "--set", "serviceMonitor.enabled=true", "--set", "prometheusRule.enabled=true"),
    *("--set", "networkPolicy.enabled=true", "--set", "hostNetwork=true"),
]
REFUSED = {
    "no URL": ["--set", "livekit.existingSecret=keys"],
    "no keys": ["--set", "livekit.url=wss://livekit.example.com"],
    "a URL of another scheme": [*MINIMAL, "--set", "livekit.url=https://livekit.example.com"],
    "a value that there is not": [*MINIMAL, "--set", "replica=3"],
    "several pods with a journal of their own": [*MINIMAL, "--set", "config.store.kind=embedded"],
    "no entry": [*MINIMAL, "--set", "config.entry=null"],
}
NOT_CHECKED = [
    "no image was built: that wants a container engine, and so does its size",
    "nothing was started with `docker compose`, and no phone has rung",
    "no cluster has seen the chart: its objects are of the form that Helm renders, not that an API server has accepted",
    "no Grafana has shown the dashboard: its expressions are valid and its metrics exist",
]

Documents = list[dict[str, object]]


class Failed(Exception):
    pass


def main() -> int:
    helm, promtool = sys.argv[1:3]
    checks: dict[str, Callable[[], str]] = {
        "Dockerfile": dockerfile,
        "compose file": compose_file,
        "chart": lambda: chart(helm, promtool),
        "alert rules": lambda: alert_rules(promtool),
        "dashboard": lambda: dashboard(promtool),
    }
    failed = False
    for name, check in checks.items():
        try:
            print(f"{name:<14} ok      {check()}")
        except Failed as error:
            failed = True
            print(f"{name:<14} FAILED  {error}")
    print("\nNot checked:", *NOT_CHECKED, sep="\n  - ")
    return int(failed)


def dockerfile() -> str:
    run([BIN / "hadolint", "--failure-threshold", "info", DEPLOY / "Dockerfile"])
    return "hadolint has nothing to say"


def compose_file() -> str:
    file = DEPLOY / "compose.yaml"
    run([BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file])
    run([BIN / "check-jsonschema", "--schemafile", SCHEMA, DEPLOY / "compose" / "baton.yaml"])
    (document,) = documents(file.read_text())
    services = mapping(document["services"])
    ours = [name for name, service in services.items() if "network_mode" in mapping(service) and mapping(service).get("read_only")]
    for name in ours:
        service = mapping(services[name])
        if service["cap_drop"] != ["ALL"] or service["security_opt"] != ["no-new-privileges:true"]:
            raise Failed(f"{name} is not confined")
    if sorted(ours) != ["baton", "billing", "triage"]:
        raise Failed(f"confined are {ours}")
    drain = mapping(documents((DEPLOY / "compose" / "baton.yaml").read_text())[0]["server"])["drain_grace_secs"]
    grace = mapping(services["baton"])["stop_grace_period"]
    if int(str(grace).rstrip("s")) <= int(str(drain)):
        raise Failed(f"baton is killed after {grace}, and calls may go on for {drain}s")
    return f"{len(services)} services"


def chart(helm: str, promtool: str) -> str:
    run([helm, "lint", "--strict", CHART, *MINIMAL])
    run([helm, "lint", "--strict", CHART, *EVERYTHING])
    for why, values in REFUSED.items():
        if subprocess.run([helm, "template", "x", CHART, *values], capture_output=True, timeout=LIMIT_SECS).returncode == 0:
            raise Failed(f"{why}, and it is rendered")
    fewest = rendered(helm, MINIMAL)
    most = rendered(helm, EVERYTHING)
    for objects in (fewest, most):
        config_is_valid(objects)
        deployment(objects)
    kinds = sorted({str(each["kind"]) for each in most})
    wanted = "ConfigMap Deployment HorizontalPodAutoscaler NetworkPolicy PodDisruptionBudget PrometheusRule Service ServiceAccount ServiceMonitor"
    if kinds != wanted.split():
        raise Failed(f"rendered are {kinds}")
    if any(each["kind"] == "HorizontalPodAutoscaler" for each in fewest):
        raise Failed("the autoscaler is rendered unasked")
    with_keys = rendered(helm, ["--set", "livekit.url=ws://x", "--set", "livekit.apiKey=k", "--set", "livekit.apiSecret=s"])
    if not any(each["kind"] == "Secret" for each in with_keys):
        raise Failed("keys are given, and there is no secret")
    (rules,) = [each for each in most if each["kind"] == "PrometheusRule"]
    written(rules["spec"], [promtool, "check", "rules"])
    return f"{len(most)} objects, {len(REFUSED)} wrong values refused"


def rendered(helm: str, values: list[str]) -> Documents:
    return [each for each in documents(run([helm, "template", "front", CHART, *values])) if each]


def config_is_valid(objects: Documents) -> None:
    (config,) = [each for each in objects if each["kind"] == "ConfigMap"]
    text = mapping(config["data"])["baton.yaml"]
    (document,) = documents(str(text))
    written(document, [BIN / "check-jsonschema", "--schemafile", SCHEMA])


def deployment(objects: Documents) -> None:
    (found,) = [each for each in objects if each["kind"] == "Deployment"]
    pod = mapping(mapping(mapping(found["spec"])["template"])["spec"])
    (config,) = [each for each in objects if each["kind"] == "ConfigMap"]
    (document,) = documents(str(mapping(config["data"])["baton.yaml"]))
    drain = int(str(mapping(document["server"])["drain_grace_secs"]))
    if int(str(pod["terminationGracePeriodSeconds"])) <= drain:
        raise Failed("pods are killed before their calls may have finished")
    containers = pod["containers"]
    assert isinstance(containers, list)
    security = mapping(mapping(containers[0])["securityContext"])
    if security != {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}:
        raise Failed(f"the container may too much: {security}")
    if not mapping(pod["securityContext"])["runAsNonRoot"]:
        raise Failed("the pod may run as root")
    # Everything that is mounted is there, and every port that a probe or a service names.
    volumes = {mapping(each)["name"] for each in pod["volumes"]}  # type: ignore[attr-defined]
    mounted = {mapping(each)["name"] for each in mapping(containers[0])["volumeMounts"]}  # type: ignore[attr-defined]
    if volumes != mounted:
        raise Failed(f"volumes {volumes}, mounted {mounted}")
    ports = {mapping(each)["name"] for each in mapping(containers[0])["ports"]}  # type: ignore[attr-defined]
    labels = mapping(mapping(mapping(mapping(found["spec"])["template"])["metadata"])["labels"])
    for service in (each for each in objects if each["kind"] == "Service"):
        spec = mapping(service["spec"])
        if not mapping(spec["selector"]).items() <= labels.items():
            raise Failed(f"{spec['selector']} selects no pod")
        for port in spec["ports"]:  # type: ignore[attr-defined]
            if mapping(port)["targetPort"] not in ports:
                raise Failed(f"no port {port}")


def alert_rules(promtool: str) -> str:
    folder = DEPLOY / "prometheus"
    run([promtool, "check", "rules", folder / "alerts.yaml"])
    run([promtool, "test", "rules", folder / "alerts_test.yaml"])
    (document,) = documents((folder / "alerts.yaml").read_text())
    (tests,) = documents((folder / "alerts_test.yaml").read_text())
    names = {rule["alert"] for group in document["groups"] for rule in group["rules"]}  # type: ignore[attr-defined]
    fired = {
        case["alertname"]
        for test in tests["tests"]  # type: ignore[attr-defined]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    if names != fired:
        raise Failed(f"no test sees these fire: {sorted(names - fired)}")
    return f"{len(names)} rules, each seen to fire"


def dashboard(promtool: str) -> str:
    document = json.loads((DEPLOY / "grafana" / "baton.json").read_text())
    expressions = [target["expr"] for panel in document["panels"] for target in panel.get("targets", [])]
    filled = [expression.replace("$__rate_interval", "5m") for expression in expressions]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(filled)]
    written({"groups": [{"name": "panels", "rules": rules}]}, [promtool, "check", "rules"])
    return f"{len(expressions)} expressions"


def run(command: list[str | Path]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECS)
    if ended.returncode != 0:
        raise Failed(f"{Path(command[0]).name}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def written(document: object, command: list[str | Path]) -> None:
    """Runs a command on a document in a file: JSON is YAML as well."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        run([*command, file.name])


def documents(text: str) -> Documents:
    return list(YAML(typ="safe").load_all(text))


def mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Failed(f"no mapping: {value!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
