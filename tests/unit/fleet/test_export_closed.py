"""What of an exported server is for nobody, and for whom the rest is."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from support.closed_apis import HTTP_CALLS
from support.exports import container, deployment, rendered, service
from tritongen.fleet.export.deployment import CONNECTION_FLAGS
from tritongen.fleet.export.targets import TARGETS

WHAT = deployment(service("vision"), service("words"))
CLUSTERS = ("kubernetes", "keda", "kserve")
PINNED = container(image=f"nvcr.io/nvidia/tritonserver:26.07-py3@sha256:{'ab' * 32}")


def texts(target: str, what=WHAT) -> dict[str, str]:
    return {file.path: file.text for file in TARGETS[target].files(what)}


@pytest.mark.parametrize("target", TARGETS)
def test_no_key_stands_in_a_file_and_every_start_draws_one(target):
    whole = "".join(texts(target).values())
    closed = re.findall(r"--([a-z-]+)=([a-z,-]+):tritongen-closed=(\$*key)\b", whole)
    assert len(closed) == whole.count("tritongen-closed=")
    assert {apis for _, apis, _ in closed} == {"shared-memory,model-repository,trace,logging"}
    for flag in ("http-restricted-api", "grpc-restricted-protocol"):
        assert [name for name, _, _ in closed].count(flag) == 2
    assert whole.count("/dev/urandom") == 2
    assert "POD_UID" not in whole


def program(what=WHAT) -> list[str]:
    """What Docker runs, as Compose reads it."""
    (compose,) = rendered("compose", what)["compose.yaml"]
    entry = compose["services"]["vision"]
    words = [*entry.get("entrypoint", ()), *entry["command"]]
    return [word.replace("$$", "$") for word in words]


def started(folder: Path, *, without: str = "") -> tuple[int, str]:
    """Exit code and arguments of a server that only tells them."""
    for tool in {"od", "tr"} - {without}:
        (folder / tool).symlink_to(f"/usr/bin/{tool}")
    server = folder / "tritonserver"
    server.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    server.chmod(0o755)
    first, *words = program()
    done = subprocess.run(
        [f"/bin/{first}", *words], capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": str(folder)},
    )  # fmt: skip
    return done.returncode, done.stdout


def test_each_start_has_a_key_of_its_own(tmp_path):
    keys = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        code, said = started(tmp_path / name)
        assert code == 0
        assert "--model-repository=/models" in said.splitlines()
        drawn = re.findall(r"tritongen-closed=(\S+)", said)
        assert len(drawn) == 2
        keys.update(drawn)
    assert len(keys) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)


@pytest.mark.parametrize("without", ["od", "tr"])
def test_without_a_key_there_is_no_server(without, tmp_path):
    code, said = started(tmp_path, without=without)
    assert code != 0
    assert said == ""


def test_an_images_own_entry_point_runs_the_same(tmp_path):
    gpu = deployment(service(container=container(gpus=1, image_entrypoint=True)))
    assert program(gpu) == program()
    (kserve,) = rendered("kserve", gpu)["inferenceservice.yaml"]
    model = kserve["spec"]["predictor"]["model"]
    assert model["command"][:3] == ["/opt/nvidia/nvidia_entrypoint.sh", "sh", "-c"]


@pytest.mark.parametrize("target", CLUSTERS)
def test_metrics_are_prometheus_s_alone(target):
    files = rendered(target, WHAT)
    policies = {one["metadata"]["name"]: one["spec"] for one in files["networkpolicy.yaml"]}
    assert set(policies) == {"vision", "words"}
    http = 8080 if target == "kserve" else 8000
    for name, policy in policies.items():
        assert policy["policyTypes"] == ["Ingress"]
        assert name in policy["podSelector"]["matchLabels"].values()
        asked, watched = policy["ingress"]
        assert {port["port"] for port in asked["ports"]} == {
            http, 9000 if target == "kserve" else 8001,
        }  # fmt: skip
        assert [port["port"] for port in watched["ports"]] == [8002]
        (source,) = watched["from"]
        # Both selectors in one entry: a pod of that name elsewhere is not let in.
        assert set(source) == {"namespaceSelector", "podSelector"}
    if target != "kserve":
        pods = [one for one in files["deployment.yaml"] if one["kind"] == "Deployment"]
        for pod in pods:
            selected = policies[pod["metadata"]["name"]]["podSelector"]["matchLabels"]
            labels = pod["spec"]["template"]["metadata"]["labels"]
            assert selected.items() <= labels.items()
        ports = [
            port["name"]
            for one in files["deployment.yaml"]
            if one["kind"] == "Service" and "clusterIP" not in one["spec"]
            for port in one["spec"]["ports"]
        ]
        assert ports == ["http", "grpc"] * 2
        (kustomization,) = files["kustomization.yaml"]
        assert "networkpolicy.yaml" in kustomization["resources"]


@pytest.mark.parametrize("target", CLUSTERS)
def test_pods_have_no_rights(target):
    (document, *_) = rendered(target)[
        "inferenceservice.yaml" if target == "kserve" else "deployment.yaml"
    ]
    if target == "kserve":
        pod = document["spec"]["predictor"]
        box = pod["model"]
    else:
        pod = document["spec"]["template"]["spec"]
        (box,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert box["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    writable = {mount["mountPath"] for mount in box["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/dev/shm", "/tmp"}  # noqa: S108  (inside the container)


def test_azures_container_is_not_roots():
    (dockerfile,) = (text for path, text in texts("azureml", deployment()).items()
                     if path.endswith("Dockerfile"))  # fmt: skip
    assert "USER 1000:1000\n" in dockerfile
    assert re.findall(r"(?m)^EXPOSE (.*)$", dockerfile) == ["8000"]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_by_tag_is_told_and_one_by_digest_is_not(target):
    pinned = deployment(service(container=PINNED))
    assert "--image NAME@sha256:" in "".join(texts(target).values())
    whole = "".join(texts(target, pinned).values())
    assert "--image NAME@sha256:" not in whole
    assert PINNED.image in whole


def test_swarm_publishes_no_metrics():
    (monitoring,) = rendered("swarm")["monitoring.yaml"]
    services = monitoring["services"]
    assert "ports" not in services["prometheus"]
    variables = services["grafana"]["environment"]
    assert variables["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana"  # noqa: S105  (a path)
    assert not any("ANONYMOUS" in name for name in variables)
    assert monitoring["secrets"]["grafana"]["external"] is True


OPEN = (
    "/v2", "/v2/", "/v2/health/live", "/v2/health/ready", "/v2/models/stats", "/v2/models/a.b-c",
    "/v2/models/m/ready", "/v2/models/m/versions/2/infer", "/v2/models/m/infer",
    "/v2/models/m/config", "/v2/models/m/stats", "/v2/models/m/generate_stream",
)  # fmt: skip
CLOSED = (
    *(path for _, path in HTTP_CALLS), "/", "/metrics", "/v2/models/m/trace/setting",
    "/v2//repository/index", "//v2/repository/index", "/v2/./repository/index", "/V2/logging",
    "/v2/models/../repository/index", "/v2/models/m/../../repository/models/m/load",
    "/v2/repository%2findex", "/v2/health/ready/../../logging", "/v2/logging#/v2/health/live",
)  # fmt: skip
OPEN_METHODS = ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata",
                "ModelConfig", "ModelStatistics", "ModelInfer", "ModelStreamInfer")  # fmt: skip
CLOSED_METHODS = (
    "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload", "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister", "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister", "TraceSetting", "LogSettings",
    "ModelInfer/../LogSettings",
)  # fmt: skip


def test_the_gateway_lets_through_what_is_for_everybody():
    config = texts("swarm", deployment())["haproxy.cfg"]
    http, grpc = re.findall(r"(?m)^    http-request deny unless \{ path_reg (\S+) \}$", config)
    assert [path for path in OPEN if not re.search(http, path)] == []
    assert [path for path in CLOSED if re.search(http, path)] == []
    place = "/inference.GRPCInferenceService/"
    assert [name for name in OPEN_METHODS if not re.search(grpc, place + name)] == []
    assert [name for name in CLOSED_METHODS if re.search(grpc, place + name)] == []
    assert re.search(grpc, "/grpc.health.v1.Health/Check")
    assert not re.search(grpc, "/inferencexGRPCInferenceService/ModelInfer")


def test_every_frontend_has_a_rule():
    config = texts("swarm")["haproxy.cfg"]
    assert config.count("\nfrontend ") == config.count("http-request deny unless") == 4


def test_what_is_quoted_for_a_cluster_is_one_word_of_the_shell():
    (document, *_) = yaml.safe_load_all(texts("kubernetes")["deployment.yaml"])
    (box,) = document["spec"]["template"]["spec"]["containers"]
    # Kubernetes turns `$$(` into `$(` and leaves `${` alone.
    assert [word.replace("$$(", "$(") for word in (*box["command"], *box["args"])] == [
        *program(), *CONNECTION_FLAGS,
    ]  # fmt: skip
