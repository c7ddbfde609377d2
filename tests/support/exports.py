"""Exports for tests: a deployment of invented models, its files as documents, real validators.

``validators`` is the Python of an environment with the targets' own validators; it is made once in
the user's cache, apart from the project's own environment, whose packages it would not suit.
"""

import copy
import hashlib
import json
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from support.export_rules.documents import check_documents
from tritongen.fleet.export.deployment import (
    Container,
    DeployedModel,
    Deployment,
    Replicas,
    Service,
)
from tritongen.fleet.export.export_target import ExportFile
from tritongen.fleet.export.targets import TARGETS
from tritongen.model.findings import Finding, Severity
from tritongen.model.kept_folders import ENGINE_CACHE, HUB_CACHE
from tritongen.serving.docker.health_check import HEALTH
from tritongen.system.files import FileLock
from tritongen.system.user_cache import user_cache

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements/validators.txt"
SCRIPT = Path(__file__).with_name("export_validators.py")
CRDS = Path(__file__).with_name("crds")


def container(**changes: Any) -> Container:
    """A server of four cores."""
    values: dict[str, Any] = {
        "image": "nvcr.io/nvidia/tritonserver:26.08-py3",
        "image_entrypoint": False,
        "arguments": ("--model-repository=/models", "--exit-on-error=false"),
        "environment": (("OMP_NUM_THREADS", "2"), ("ORT_DISABLE_TELEMETRY", "1")),
        "cores": 4,
        "cpus": 4,
        "memory_bytes": 2 << 30,
        "memory_request_bytes": 2 << 30,
        "shared_memory_bytes": 128 << 20,
        "gpus": 0,
        "user": "1000:1000",
        "read_only": True,
        "tmp_bytes": 64 << 20,
        "ulimits": (("stack", 64 << 20),),
        "health": HEALTH,
    }
    return Container(**{**values, **changes})


def service(name: str = "vision", **changes: Any) -> Service:
    """Two models in four cores, two to six replicas, more of them on weekdays."""
    weekday = tuple(4 if 8 <= hour < 18 else 2 for hour in range(24))
    values: dict[str, Any] = {
        "models": (
            DeployedModel("detect", "onnxruntime", 1, 2, 50.0, 99.0, 40.0, "ab" * 32),
            DeployedModel("embed", "python", 1, 2, None, 99.0, None, "cd" * 32),
        ),
        "container": container(),
        "replicas": Replicas(2, 6, weekday * 5 + (2,) * 48, planned=True),
        "queue_target_us": 3000,
        "concurrency": 8,
        "rate_per_s": 60.0,
    }
    return Service(name, **{**values, **changes})


def deployment(*services: Service, **changes: Any) -> Deployment:
    """One service, or these."""
    values: dict[str, Any] = {
        "name": "shop",
        "services": services or (service(),),
        "digest": "ef" * 32,
        "repository": "../model_repository",
        "storage": "pvc://models/shop",
        "machine": "Standard_F8s_v2",
        "machine_vcpus": 8,
        "time_zone": "Europe/Berlin",
        "files": (("detect/1/model.onnx", "12" * 32), ("detect/config.pbtxt", "ab" * 32)),
    }
    return Deployment(**{**values, **changes})


def language_model() -> Deployment:
    """A language model on two GPUs, which comes from a hub and builds engines."""
    return deployment(
        service(
            models=(
                DeployedModel(
                    "llama", "vllm", 1, 1, config_digest="ab" * 32, fetched_bytes=60 << 30
                ),
            ),
            container=container(
                image="nvcr.io/nvidia/tritonserver:26.08-vllm-python-py3",
                image_entrypoint=True,
                environment=(("HF_HOME", HUB_CACHE), ("OMP_NUM_THREADS", "1")),
                shared_memory_bytes=1 << 30,
                gpus=2,
                read_only=False,
                ulimits=(("stack", 64 << 20), ("memlock", -1)),
                health=replace(HEALTH, start_s=3600),
                caches=(("hub", HUB_CACHE), ("engines", ENGINE_CACHE)),
            ),
        )
    )


def documents(file: ExportFile) -> Iterator[Any]:
    """The documents of a YAML or JSON file; none of a file of another kind."""
    if file.path.endswith(".json"):
        yield json.loads(file.text)
    elif file.path.endswith((".yaml", ".yml")):
        yield from (item for item in yaml.safe_load_all(file.text) if item is not None)


def rendered(target: str, what: Deployment | None = None) -> dict[str, list[Any]]:
    """Documents of an export by the path of their file."""
    files = TARGETS[target].files(what or deployment())
    return {file.path: list(documents(file)) for file in files}


def faults(files: Mapping[str, Sequence[Any]], what: Deployment | None = None) -> list[Finding]:
    """What the files do wrong."""
    found = check_documents(files, what or deployment())
    return [item for item in found if item.severity is Severity.ERROR]


def refused(target: str, what: Deployment) -> list[Finding]:
    """What the target refuses of a deployment, before any file is written."""
    return [one for one in TARGETS[target].findings(what) if one.severity is Severity.ERROR]


def planted(files: Mapping[str, Sequence[Any]], path: str, value: Any) -> dict[str, Any]:
    """A copy with one value changed.

    Args:
        files: documents by file.
        path: ``file#document.key.0.key``; a key with dots stands in brackets.
        value: the new one; `DROP` removes the key.
    """
    changed = {name: copy.deepcopy(list(items)) for name, items in files.items()}
    name, _, rest = path.partition("#")
    keys = _keys(rest)
    place: Any = changed[name]
    for key in keys[:-1]:
        place = place[key]
    if value is DROP:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return changed


DROP = object()


def _keys(text: str) -> list[Any]:
    keys: list[Any] = []
    while text:
        if text.startswith("["):
            key, _, text = text[1:].partition("]")
            text = text.removeprefix(".")
        else:
            key, _, text = text.partition(".")
        keys.append(int(key) if key.isdigit() else key)
    return keys


def crd_faults(name: str, path: Path) -> list[str]:
    """What a custom resource's schema says of a file; unknown fields are faults, too."""
    schema = _strict(json.loads((CRDS / f"{name}.json").read_text()))
    validator = jsonschema.Draft202012Validator(schema)
    return [
        f"{list(fault.path)}: {fault.message}"
        for document in yaml.safe_load_all(path.read_text())
        for fault in validator.iter_errors(document)
    ]


def _strict(schema: Any) -> Any:
    """The schema with every object closed that lists its properties."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(value) for key, value in schema.items()}
    listed = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    # `metadata` is Kubernetes's own and is not listed.
    if listed and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed["additionalProperties"] = False
    return closed


@pytest.fixture(scope="session")
def validators() -> str:
    """Python of the environment with the validators, made on first use."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = user_cache() / "validators"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / key
    with FileLock(cache / f"{key}.lock", "making the validators' environment", timeout=500):
        if not (folder / "ready").exists():
            venv.create(folder, with_pip=True, clear=True)
            install = [folder / "bin/python", "-m", "pip", "install", "-q", "--require-hashes"]
            install += ["--only-binary=:all:", "--requirement", REQUIREMENTS]
            subprocess.run(install, check=True, timeout=500)
            (folder / "ready").touch()
    return str(folder / "bin/python")


def judged(python: str, files: Sequence[tuple[str, Path]]) -> dict[str, list[str]]:
    """Faults by file, as real validators have them.

    Args:
        python: of the fixture ``validators``.
        files: (``kubernetes``, ``azureml-endpoint`` or ``azureml-deployment``, file).
    """
    words = [f"{kind}:{path}" for kind, path in files]
    done = subprocess.run(
        [python, SCRIPT, *words], check=True, capture_output=True, text=True, timeout=300
    )
    return json.loads(done.stdout.splitlines()[-1])


def written(folder: Path, target: str, what: Deployment | None = None) -> Iterator[Path]:
    """Writes the files of an export, and gives their paths."""
    for file in TARGETS[target].files(what or deployment()):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
        yield path
