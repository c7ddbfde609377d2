"""Requests at a time: one for every instance at least, whatever a plan's queue needs."""

from tritongen.fleet.export.deployment import DeployedModel
from tritongen.fleet.export.deployment_from_repository import requests_at_a_time


def served(name: str, instances: int) -> DeployedModel:
    return DeployedModel(
        name=name,
        backend="onnxruntime",
        instances=instances,
        threads=1,
        latency_ms=None,
        percentile=99.0,
        peak_rate=None,
        config_digest="",
    )


def test_a_plan_of_quiet_models_still_reaches_every_instance() -> None:
    models = tuple(served(name, 1) for name in ("a", "b", "c", "d"))
    assert requests_at_a_time(3, models) == 4
    assert requests_at_a_time(9, models) == 9


def test_without_a_plan_two_requests_keep_an_instance_busy() -> None:
    assert requests_at_a_time(None, (served("a", 3),)) == 6
