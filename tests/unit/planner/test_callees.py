"""Models that a model in Python calls must be served beside it."""

from tritongen.config.config_message import build_message
from tritongen.model.cores import budget_of_limit
from tritongen.model.evidence import Evidence
from tritongen.model.facts import NAMED_LATER, ModelFacts, ModelFormat, PythonFacts
from tritongen.model.intent import Intent, ModelIntent, PipelineIntent, PipelineStep
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner import plan_serving


def model(name, *callees):
    spec = (TensorSpec("x", DType.FP32, (None, 4)),)
    python = PythonFacts(callees=callees)
    return ModelFacts(
        name, f"{name}/model.py", ModelFormat.PYTHON, inputs=spec, outputs=spec, python=python
    )


def told(models, intent=None):
    plan = plan_serving(models, intent or Intent(), Evidence(), budget_of_limit(8))
    return [(item.model, item.message) for item in plan.findings if item.code == "TG146"]


def test_callees_that_are_not_served():
    assert told([model("router", "small", "large"), model("small")]) == [
        ("router", "router calls large, which is not served here")
    ]


def test_served_ones_pipelines_and_names_made_later_are_fine():
    pipelines = {"whole": PipelineIntent((PipelineStep("small"),), ("x",))}
    intent = Intent(pipelines=pipelines)
    assert told([model("router", "small", "whole", NAMED_LATER), model("small")], intent) == []


def test_a_skipped_model_is_not_served():
    intent = Intent(models={"small": ModelIntent(serve=False)})
    assert len(told([model("router", "small"), model("small")], intent)) == 1


def test_a_caller_holds_no_unit_that_its_callee_waits_for():
    models = [model("router", "small"), model("small"), model("other")]
    plan = plan_serving(models, Intent(), Evidence(), budget_of_limit(1))
    held = {item.name: item.execution_slots for item in plan.models}
    assert {name: slots.value for name, slots in held.items()} == {
        "router": 0, "small": 1, "other": 1
    }  # fmt: skip
    assert "it calls small" in held["router"].reason.sentence
    messages = {item.name: build_message(item) for item in plan.models}
    assert not messages["router"].message.instance_group[0].HasField("rate_limiter")
    assert messages["router"].remarks["rate_limiter"] == held["router"].reason
    assert ("rate-limit-resource", "cpu:1") in {
        (name, value.value) for name, value in plan.server.flags
    }
    # With cores for all there is no limiter, and nothing to hold.
    free = plan_serving(models, Intent(), Evidence(), budget_of_limit(4))
    assert [item.execution_slots for item in free.models] == [None] * 3
