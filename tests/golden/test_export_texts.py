"""Every target's files, and what it refuses, for deployments that differ in one thing each.

The rules of the targets themselves are held elsewhere against their own validators; here the whole
text is reviewed, and beside it what changes with the deployment.
"""

import difflib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.exports import container, deployment, service
from tritongen.errors import InvalidInputError
from tritongen.fleet.export.deployment import DeployedModel, Deployment, Replicas
from tritongen.fleet.export.targets import TARGETS
from tritongen.serving.docker.health_check import HEALTH

EXPORTS = Path(__file__).parent / "exports"
GPU = container(gpus=1, image_entrypoint=True, read_only=False, ulimits=(("memlock", -1),))
BARE = container(cores=None, cpus=None, memory_bytes=None, memory_request_bytes=(1 << 30) + 1)
PINNED = container(image=f"triton@sha256:{'0' * 64}", rate_limited=True)
SILENT = tuple(replace(one, latency_ms=None) for one in service().models)
PIPELINE = (*service().models, DeployedModel("read", "ensemble", 0, 0, 30.0))
WEEK = tuple(3 if hour < 120 else 1 for hour in range(168))
CHANGES: dict[str, Deployment] = {
    "gpu": deployment(service(container=GPU)),
    "no limits": deployment(service(container=BARE)),
    "hardware threads": deployment(service(container=container(cpus=6))),
    "whole node": deployment(service(container=container(cpus=8))),
    "pinned": deployment(service(container=PINNED)),
    "no goals": deployment(service(models=SILENT, rate_per_s=None)),
    "pipeline": deployment(service(models=PIPELINE)),
    "one replica": deployment(service(replicas=Replicas(1, 1))),
    "zero replicas": deployment(service(replicas=Replicas(0, 3, WEEK, 1.0, 5000.0, 10.0, True))),
    "fifty-one replicas": deployment(service(replicas=Replicas(51, 51))),
    "long wait": deployment(service(queue_target_us=40_000)),
    "just in time": deployment(service(queue_target_us=39_999)),
    "two services": deployment(service(), service("text", models=SILENT[:1])),
    "s3": deployment(storage="s3://bucket/shop"),
    "image": deployment(
        service(container=container(image="registry.example/shop:efefefefefef", holds_models=True)),
        base_image="nvcr.io/nvidia/tritonserver:26.07-py3",
    ),
    "claim alone": deployment(storage="pvc://models"),
    "nowhere": deployment(storage="ftp://models"),
    "no machine": deployment(machine="", machine_vcpus=None),
    "larger machine": deployment(machine="Standard_F16s_v2", machine_vcpus=16),
    "other zone": deployment(time_zone="Asia/Tokyo"),
    "unknown zone": deployment(time_zone="Africa/Lagos"),
    "short name": deployment(service("ab")),
    "below": deployment(repository="model_repository"),
    "slow start": deployment(
        service(container=container(health=replace(HEALTH, start_s=400, timeout_s=9)))
    ),
    "many rows": deployment(
        service(models=tuple(replace(one, peak_rate=900.0) for one in service().models))
    ),
    "loose goal": deployment(
        service(models=(replace(service().models[0], latency_ms=30_000.0),), concurrency=1)
    ),
}  # fmt: skip


def written(target: str, what: Deployment) -> Iterator[str]:
    """The files of a deployment, then the findings on it."""
    try:
        for file in TARGETS[target].files(what):
            yield f"==== {file.path}"
            yield from file.text.splitlines()
    except InvalidInputError as problem:
        yield f"==== refused: {problem.code} {problem.what}"
    for item in TARGETS[target].findings(what):
        yield f"==== {item.severity} {item.code} {item.location.path} {item.location.field}"
        yield item.message


@pytest.mark.parametrize("target", TARGETS)
def test_the_files_of_a_target(target, update_golden) -> None:
    usual = list(written(target, deployment()))
    lines = [*usual]
    for name, what in CHANGES.items():
        differences = difflib.unified_diff(usual, list(written(target, what)), n=0, lineterm="")
        changed = [line for line in differences if not line.startswith(("---", "+++", "@@"))]
        lines += ["", f"######## {name}", *changed]
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    expected = EXPORTS / f"{target}.txt"
    if update_golden:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
