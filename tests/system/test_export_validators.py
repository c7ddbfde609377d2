"""Exports held against their targets' real validators."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.export_stack import docker, gateway_image
from support.exports import (
    container,
    crd_faults,
    deployment,
    faults,
    judged,
    language_model,
    service,
    written,
)
from support.kustomize import kustomized, put_together

# What people deploy: one service, several, a GPU, a hand-named image, models in a bucket.
CASES = {
    "one": deployment(),
    "several": deployment(service("vision"), service("words")),
    "gpu": deployment(service(container=container(gpus=1, image_entrypoint=True, read_only=False))),
    "language": language_model(),
    "image": deployment(service(container=container(image="registry.example/triton:1"))),
    "claim": deployment(storage="pvc://shop-models/efefefefefef"),
    "bucket": deployment(storage="s3://bucket/shop/efefefefefef"),
    # KServe takes no models from the image of the server.
    "inside": deployment(
        service(container=container(image="registry.example/shop:efefefefefef", holds_models=True)),
        base_image="nvcr.io/nvidia/tritonserver:26.07-py3",
    ),
    "odd": deployment(
        service(container=container(environment=(("ODD", 'a "b" $c ${d} {{e}} # f: é'),)))
    ),
}
KEDA = "overlays/autoscale-keda/scaledobject.yaml"
CLUSTERS = ("kubernetes", "keda", "kserve")
SCHEMAS = {
    "InferenceService": "kserve-inferenceservice",
    "ScaledObject": "keda-scaledobject",
    "PodMonitor": "prometheus-podmonitor",
    "PrometheusRule": "prometheus-prometheusrule",
    "Gateway": "gateway-gateway",
    "HTTPRoute": "gateway-httproute",
    "GRPCRoute": "gateway-grpcroute",
}
case = pytest.mark.parametrize("name", CASES)


def overlays_of(folder: Path) -> list[str]:
    """Overlays that are not on, and do not fight with the one that is."""
    names = (one.name for one in (folder / "overlays").iterdir())
    return sorted(one for one in names if not one.startswith("autoscale-"))


@case
def test_kustomize_builds_every_export_with_every_overlay(name, tmp_path, validators):
    what = CASES[name]
    clusters = CLUSTERS[:2] if name == "inside" else CLUSTERS
    roots = list(clusters)
    for target in clusters:
        list(written(tmp_path / target, target, what))
        if target != "kserve":
            overlays = overlays_of(tmp_path / target)
            kind = "gpu" if name in {"gpu", "language"} else "cpu"
            assert overlays == sorted(["gateway", kind, "monitoring"])
            roots += [put_together(tmp_path, f"{target}-{one}", target, [one]) for one in overlays]
            roots.append(put_together(tmp_path, f"{target}-whole", target, overlays))
    files, told = [], {}
    for target in CLUSTERS[:2]:
        jobs = yaml.safe_load_all((tmp_path / target / "probe/job.yaml").read_text())
        for number, job in enumerate(jobs):
            path = tmp_path / f"{target}-probe-{number}.yaml"
            path.write_text(yaml.safe_dump(job))
            files.append(("kubernetes", path))
    for root, documents in kustomized(tmp_path, roots).items():
        assert faults({"built.yaml": documents}, what) == []
        assert loose_ends(documents) == []
        for number, document in enumerate(documents):
            path = tmp_path / f"{root}-{number}.yaml"
            path.write_text(yaml.safe_dump(document))
            schema = SCHEMAS.get(document["kind"])
            if schema is None:
                files.append(("kubernetes", path))
            else:
                told[str(path)] = crd_faults(schema, path)
    told |= judged(validators, files)
    assert {path: faults for path, faults in told.items() if faults} == {}


def loose_ends(documents: list[Any]) -> list[str]:
    """What documents name and no other of them is, and what lies elsewhere."""
    known = {(one["kind"], one["metadata"]["name"]) for one in documents}
    (space,) = (name for kind, name in known if kind == "Namespace")
    found = [
        f"{one['kind']} {one['metadata']['name']} lies elsewhere"
        for one in documents
        if one["kind"] != "Namespace" and one["metadata"].get("namespace") != space
    ]
    for one in documents:
        pod = one.get("spec", {}).get("template", {}).get("spec") or {}
        named = [("ServiceAccount", pod["serviceAccountName"])] if pod else []
        for volume in pod.get("volumes", ()):
            if "configMap" in volume:
                named.append(("ConfigMap", volume["configMap"]["name"]))
            # A claim of the user's own is elsewhere.
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", "")
            named += [("PersistentVolumeClaim", claim)] if claim == "shop-models" else []
        found += [f"{kind} {name} is missing" for kind, name in named if (kind, name) not in known]
    return found


def test_overlays_say_what_they_are_for(tmp_path):
    list(written(tmp_path / "kubernetes", "kubernetes"))
    roots = [
        put_together(tmp_path, one, "kubernetes", [one]) for one in ("cpu", "gateway", "monitoring")
    ]
    built = {
        root: {(one["kind"], one["metadata"]["name"]): one for one in documents}
        for root, documents in kustomized(tmp_path, roots).items()
    }
    pod = built["cpu"]["Deployment", "vision"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"]["node.kubernetes.io/instance-type"] == "Standard_F8s_v2"
    dashboard = built["monitoring"]["ConfigMap", "shop-dashboard"]
    assert dashboard["metadata"]["labels"] == {"grafana_dashboard": "1"}
    assert json.loads(dashboard["data"]["triton.json"])["title"] == "Triton: shop"
    monitor = built["monitoring"]["PodMonitor", "shop"]["spec"]
    labels = built["monitoring"]["Deployment", "vision"]["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["jobLabel"]] == "vision"
    assert monitor["podMetricsEndpoints"][0]["interval"] == "15s"
    routes = [spec["spec"] for (kind, _), spec in built["gateway"].items() if "Route" in kind]
    assert {route["backendRefs"][0]["port"] for one in routes for route in one["rules"]} == {
        8000, 8001,
    }  # fmt: skip


def test_the_clusters_rules_are_promtools_too(tmp_path):
    list(written(tmp_path, "kubernetes"))
    documents = yaml.safe_load_all((tmp_path / "overlays/monitoring/monitoring.yaml").read_text())
    (rules,) = (one["spec"] for one in documents if one["kind"] == "PrometheusRule")
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    assert "SUCCESS" in run(tmp_path, "promtool", "check", "rules", "rules.yml")
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert 'namespace="triton"' in rule["expr"]
            assert "alert" in rule or rule["labels"]["namespace"] == "triton"


def test_azures_own_loader_takes_endpoints_and_deployments(tmp_path, validators):
    files = []
    for name, what in CASES.items():
        # The loader looks for the models.
        (tmp_path / name / "model_repository").mkdir(parents=True)
        for path in written(tmp_path / name / "azureml", "azureml", what):
            if path.name == "endpoint.yml":
                files.append(("azureml-endpoint", path))
            elif path.name.startswith("deployment"):
                files.append(("azureml-deployment", path))
    assert len(files) == 3 * (len(CASES) + 1)
    told = judged(validators, files)
    assert {path: faults for path, faults in told.items() if faults} == {}


def test_the_validators_are_strict(tmp_path, validators):
    """What they would not refuse, the tests above would not prove."""
    planted = []
    for target, kind, file, old, new in (
        ("kubernetes", "kubernetes", "deployment.yaml", "minReadySeconds", "minimumReadySeconds"),
        ("azureml", "azureml-deployment", "deployment.yml", "instance_count", "replica_count"),
        ("azureml", "azureml-endpoint", "endpoint.yml", "auth_mode: key", "auth_mode: [1]"),
    ):
        (path,) = (p for p in written(tmp_path / kind, target) if p.name == file)
        path.write_text(path.read_text().replace(old, new))
        planted.append((kind, path))
    assert all(judged(validators, planted).values())


@pytest.mark.parametrize(
    ("target", "schema", "file", "old", "new"),
    [
        ("kserve", "kserve-inferenceservice", "inferenceservice.yaml", "storageUri", "storageURL"),
        ("kserve", "kserve-inferenceservice", "inferenceservice.yaml", ": 60", ": x"),
        ("keda", "keda-scaledobject", KEDA, "pollingInterval", "pollInterval"),
    ],
)  # fmt: skip
def test_the_clusters_schemas_refuse_what_they_do_not_know(
    target, schema, file, old, new, tmp_path
):
    list(written(tmp_path, target))
    path = tmp_path / file
    path.write_text(path.read_text().replace(old, new))
    assert crd_faults(schema, path)


@case
def test_docker_takes_compose_files_and_stacks(name, tmp_path):
    list(written(tmp_path / "compose", "compose", CASES[name]))
    done = run(tmp_path / "compose", "docker", "compose", "config")
    what = yaml.safe_load(done)
    if name == "odd":
        odd = what["services"]["vision"]["environment"]["ODD"]
        # Compose prints its own `$` twice.
        assert odd.replace("$$", "$") == 'a "b" $c ${d} {{e}} # f: é'
    list(written(tmp_path / "stack", "swarm", CASES[name]))
    for model in ("detect", "embed"):
        config = tmp_path / "model_repository" / model / "config.pbtxt"
        config.parent.mkdir(parents=True)
        config.write_text("")
    files = ("-c", "stack.yaml", "-c", "monitoring.yaml")
    assert "endpoint_mode" in run(tmp_path / "stack", "docker", "stack", "config", *files)
    environment = {**os.environ, "PROBE_IMAGE": "registry.example/tritongen:1", "START_AT": "1"}
    words = ("docker", "stack", "config", "-c", "probe.yaml")
    assert "replicated-job" in run(tmp_path / "stack", *words, env=environment)


@pytest.mark.parametrize("target", ["compose", "swarm"])
@case
def test_promtool_takes_configuration_and_rules(name, target, tmp_path):
    list(written(tmp_path, target, CASES[name]))
    folder = tmp_path / "prometheus"
    assert "SUCCESS" in run(folder, "promtool", "check", "config", "prometheus.yml")
    assert "SUCCESS" in run(folder, "promtool", "check", "rules", "rules.yml")


def test_haproxy_takes_the_gateways_file(tmp_path):
    files = [
        path
        for name, what in CASES.items()
        for path in written(tmp_path / name, "swarm", what)
        if path.name == "haproxy.cfg"
    ]
    mounts = [f"--volume={path}:/{number}.cfg:ro" for number, path in enumerate(files)]
    checks = " && ".join(f"haproxy -c -f /{number}.cfg" for number in range(len(files)))
    docker("run", "--rm", *mounts, gateway_image(), "sh", "-c", checks)


def run(folder: Path, *words: str, **options: Any) -> str:
    """A command's output; it must not fail."""
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, timeout=120, **options
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout
