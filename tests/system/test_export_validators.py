"""Exports held against their targets' real validators."""

import subprocess
from pathlib import Path

import pytest
import yaml

from support.export_stack import docker, gateway_image
from support.exports import container, crd_faults, deployment, judged, service, written

# What people deploy: one service, several, a GPU, a hand-named image, models in a bucket.
CASES = {
    "one": deployment(),
    "several": deployment(service("vision"), service("words")),
    "gpu": deployment(service(container=container(gpus=1, image_entrypoint=True, read_only=False))),
    "image": deployment(service(container=container(image="registry.example/triton:1"))),
    "odd": deployment(
        service(container=container(environment=(("ODD", 'a "b" $c ${d} {{e}} # f: é'),)))
    ),
}
case = pytest.mark.parametrize("name", CASES)


def test_kubernetes_validate_takes_every_file_strictly(tmp_path, validators):
    files = [
        ("kubernetes", path)
        for name, what in CASES.items()
        for target in ("kubernetes", "keda")
        for path in written(tmp_path / name / target, target, what)
        if path.name in {"deployment.yaml", "hpa.yaml", "networkpolicy.yaml"}
    ]
    files += [
        ("kubernetes", path)
        for name, what in CASES.items()
        for path in written(tmp_path / name / "kserve", "kserve", what)
        if path.name == "networkpolicy.yaml"
    ]
    assert len(files) == 6 * len(CASES)
    told = judged(validators, files)
    assert {path: faults for path, faults in told.items() if faults} == {}


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


@case
def test_the_clusters_schemas_take_kserve_and_keda(name, tmp_path):
    files = {path.name: path for path in written(tmp_path, "kserve", CASES[name])}
    assert crd_faults("kserve-inferenceservice", files["inferenceservice.yaml"]) == []
    files = {path.name: path for path in written(tmp_path, "keda", CASES[name])}
    assert crd_faults("keda-scaledobject", files["scaledobject.yaml"]) == []


@pytest.mark.parametrize(
    ("target", "schema", "file", "old", "new"),
    [
        ("kserve", "kserve-inferenceservice", "inferenceservice.yaml", "storageUri", "storageURL"),
        ("kserve", "kserve-inferenceservice", "inferenceservice.yaml", ": 60", ": x"),
        ("keda", "keda-scaledobject", "scaledobject.yaml", "pollingInterval", "pollInterval"),
    ],
)  # fmt: skip
def test_the_clusters_schemas_refuse_what_they_do_not_know(
    target, schema, file, old, new, tmp_path
):
    path = {path.name: path for path in written(tmp_path, target)}[file]
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


def run(folder: Path, *words: str) -> str:
    """A command's output; it must not fail."""
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout
