"""What a pipeline asks of each of its models: its rate, and a part of its time by their costs."""

import pytest

from support.capacity import model_facts
from tritongen.model.backends import BACKENDS
from tritongen.model.intent import ModelIntent, PipelineIntent, PipelineStep
from tritongen.model.releases import find
from tritongen.planner.context import ModelInput
from tritongen.planner.pipelines import _goals


def pipeline(*models: str, **goals: object) -> PipelineIntent:
    return PipelineIntent(tuple(PipelineStep(name) for name in models), ("y",), **goals)


FAST = pipeline("m", "n", latency_ms=100.0, percentile=95.0, rate=10.0)
SLOW = pipeline("m", latency_ms=80.0, percentile=90.0, rate=5.0, peak_rate=20.0)
OPEN = pipeline("m", "m", rate=3.0)


@pytest.mark.parametrize(
    ("pipelines", "costs", "goals"),
    [
        ((), {}, (0.0, None, 99.0)),
        ((pipeline("n", rate=9.0, latency_ms=5.0),), {}, (0.0, None, 99.0)),
        ((FAST,), {"m": 1.0, "n": 3.0}, (10.0, 25.0, 95.0)),
        ((FAST,), {"m": 4.0, "n": None}, (10.0, 50.0, 95.0)),
        ((FAST,), {"n": 4.0}, (10.0, 50.0, 95.0)),
        ((FAST,), {}, (10.0, 50.0, 95.0)),
        ((SLOW,), {}, (20.0, 80.0, 90.0)),
        ((FAST, SLOW), {}, (30.0, 50.0, 95.0)),
        ((SLOW, FAST), {}, (30.0, 50.0, 95.0)),
        ((SLOW, FAST), {"m": 9.0, "n": 1.0}, (30.0, 80.0, 90.0)),
        ((OPEN,), {}, (6.0, None, 99.0)),
        ((pipeline("m", latency_ms=50.0, percentile=90.0), FAST), {}, (10.0, 50.0, 90.0)),
        ((OPEN, pipeline("m", "m", "n", latency_ms=60.0)), {"m": 1.0, "n": 4.0}, (6.0, 10.0, 99.0)),
    ],
)
def test_rate_and_part_of_the_time(pipelines, costs, goals):
    model = ModelInput(
        model_facts("m"), ModelIntent(), BACKENDS["onnxruntime"], find("26.07"), None, None
    )
    named = {str(number): one for number, one in enumerate(pipelines)}
    assert _goals(model, costs, named) == goals
