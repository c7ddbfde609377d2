"""Pipelines: connections, types, shapes and batch sizes, checked without a server."""

import pytest

from tritongen.config.config_message import build_ensemble
from tritongen.intent.reader import parse_intent
from tritongen.model.intent import PipelineIntent, PipelineStep
from tritongen.model.serving_plan import (
    InstanceKind,
    ModelPlan,
    Planned,
    PlannedTensor,
    Reason,
    Source,
)
from tritongen.model.tensors import DType
from tritongen.planner.pipelines import plan_pipelines

WHY = Reason(Source.RULE, "because")


def tensor(name, *dims, dtype=DType.FP32, optional=False):
    return PlannedTensor(name, dtype, dims, WHY, optional=optional)


def model(name, inputs, outputs, batch=8):
    return ModelPlan(
        name=name,
        backend="onnxruntime",
        platform="",
        max_batch_size=Planned(batch, WHY),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        instances=Planned(1, WHY),
        kind=Planned(InstanceKind.CPU, WHY),
        threads=Planned(1, WHY),
    )


DECODE = model("decode", [tensor("raw", -1, dtype=DType.UINT8)], [tensor("pixels", 3, -1, -1)])
DETECT = model("detect", [tensor("x", 3, 224, 224)], [tensor("boxes", 4), tensor("score", 1)], 4)
FULL = model("full", [tensor("x", -1, 3, 224, 224)], [tensor("y", -1, 10)], 0)
MODELS = [DECODE, DETECT, FULL]


def plan(steps, outputs, models=MODELS):
    pipeline = PipelineIntent(tuple(steps), tuple(outputs))
    return plan_pipelines({"p": pipeline}, models)


def faults(steps, outputs, models=MODELS):
    ensembles, findings = plan(steps, outputs, models)
    assert (ensembles == ()) == bool(findings)
    return [(item.code, item.location.field) for item in findings]


FIRST = PipelineStep("decode", {"raw": "image"}, {"pixels": "pixels"})
SECOND = PipelineStep("detect", {"x": "pixels"}, {"boxes": "boxes", "score": "score"})


def test_a_chain():
    (ensemble,), findings = plan([SECOND, FIRST], ["boxes"])
    assert findings == ()
    assert [step.model for step in ensemble.steps] == ["decode", "detect"]
    assert ensemble.max_batch_size.value == 4
    assert "detect" in ensemble.max_batch_size.reason.sentence
    assert [(item.name, item.dtype, item.dims) for item in ensemble.inputs] == [
        ("image", DType.UINT8, (-1,))
    ]
    assert [(item.name, item.dims) for item in ensemble.outputs] == [("boxes", (4,))]
    # Triton refuses an output that nothing takes.
    assert ensemble.steps[1].outputs == (("boxes", "boxes"),)
    message = build_ensemble(ensemble).message
    assert message.platform == "ensemble"
    assert {step.model_version for step in message.ensemble_scheduling.step} == {-1}


def test_full_shapes_join_a_batching_pipeline():
    step = PipelineStep("full", {"x": "pixels"}, {"y": "y"})
    (ensemble,), _ = plan([FIRST, step], ["y"])
    assert (ensemble.max_batch_size.value, ensemble.outputs[0].dims) == (8, (10,))


def test_a_fixed_first_axis_keeps_the_pipeline_from_batching():
    fixed = model("full", [tensor("x", -1, 3, 224, 224)], [tensor("y", 1, 10)], 0)
    step = PipelineStep("full", {"x": "pixels"}, {"y": "y"})
    (ensemble,), _ = plan([FIRST, step], ["y"], [DECODE, fixed])
    assert ensemble.max_batch_size.value == 0
    assert ensemble.inputs[0].dims == (-1, -1)
    assert ensemble.outputs[0].dims == (1, 10)


def test_an_input_that_several_steps_take_is_as_narrow_as_the_narrowest():
    wide = model("wide", [tensor("x", 3, -1, -1)], [tensor("z", 2)])
    steps = [
        PipelineStep("wide", {"x": "image"}, {"z": "z"}),
        PipelineStep("detect", {"x": "image"}, {"score": "score"}),
    ]
    (ensemble,), _ = plan(steps, ["z", "score"], [wide, DETECT])
    assert ensemble.inputs[0].dims == (3, 224, 224)


def test_names_that_are_left_out_stand_for_themselves():
    same = model(
        "same", [tensor("pixels", 3, -1, -1), tensor("extra", 1, optional=True)], [tensor("y", 1)]
    )
    (ensemble,), findings = plan([FIRST, PipelineStep("same")], ["y"], [DECODE, same])
    assert findings == ()
    assert ensemble.steps[1].inputs == (("pixels", "pixels"),)


@pytest.mark.parametrize(
    ("steps", "outputs", "expected"),
    [
        ([PipelineStep("nobody")], ["y"], ("TG308", "pipelines.p.steps[0].model")),
        (
            [FIRST, PipelineStep("detect", {"q": "pixels"}, {})],
            ["pixels"],
            ("TG309", "pipelines.p.steps[1].inputs.q"),
        ),
        (
            [FIRST, PipelineStep("detect", {"x": "pixels"}, {"q": "q"})],
            ["pixels"],
            ("TG309", "pipelines.p.steps[1].outputs.q"),
        ),
        ([FIRST], ["boxes"], ("TG309", "pipelines.p.outputs")),
        ([FIRST, FIRST], ["pixels"], ("TG309", "pipelines.p.steps[1].outputs.pixels")),
        (
            [
                PipelineStep("detect", {"x": "loop"}, {"score": "s"}),
                PipelineStep("wide", {"x": "s"}, {"z": "loop"}),
            ],
            ["s"],
            ("TG309", "pipelines.p.steps"),
        ),
        (
            [
                PipelineStep("decode", {}, {"pixels": "x"}),
                PipelineStep("decode", {"raw": "x"}, {"pixels": "y"}),
            ],
            ["y"],
            ("TG319", "pipelines.p.steps[1]"),
        ),
        (
            [
                PipelineStep("detect", {}, {"boxes": "b", "score": "s"}),
                PipelineStep("wide", {"x": "b"}, {"z": "z"}),
            ],
            ["z"],
            ("TG319", "pipelines.p.steps[1]"),
        ),
    ],
)
def test_faults(steps, outputs, expected):
    wide = model("wide", [tensor("x", 3, -1, -1)], [tensor("z", 2)])
    assert expected in faults(steps, outputs, [*MODELS, wide])


def test_a_pipeline_cannot_have_a_models_name():
    pipeline = PipelineIntent((FIRST,), ("pixels",))
    assert plan_pipelines({"decode": pipeline}, MODELS)[1][0].code == "TG308"


def test_the_yaml_of_a_pipeline():
    document = parse_intent(
        "pipelines:\n"
        "  ocr:\n"
        "    rate: {average: 5, peak: 20}\n"
        "    latency: 100ms\n"
        "    steps:\n"
        "      - {model: decode, inputs: {raw: image}}\n"
        "      - {model: detect, outputs: {boxes: b}}\n"
        "    outputs: [b]\n",
        "tritongen.yaml",
    )
    assert document.faults == ()
    pipeline = document.intent.pipelines["ocr"]
    assert (pipeline.rate, pipeline.peak_rate, pipeline.latency_ms) == (5, 20, 100)
    assert pipeline.steps[0] == PipelineStep("decode", {"raw": "image"}, None)
    assert pipeline.steps[1].outputs == {"boxes": "b"}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("pipelines: {p: {outputs: [a]}}", "pipelines.p.steps"),
        ("pipelines: {p: {steps: [{model: m}]}}", "pipelines.p.outputs"),
        ("pipelines: {p: {steps: [{inputs: {}}], outputs: [a]}}", "pipelines.p.steps[0].model"),
        ("pipelines: {'a b': {steps: [{model: m}], outputs: [a]}}", "pipelines.a b"),
        ("pipelines: {p: {steps: [{modle: m}], outputs: [a]}}", "pipelines.p.steps[0].modle"),
    ],
)
def test_faults_of_the_yaml(text, path):
    assert path in {item.path for item in parse_intent(text, "tritongen.yaml").faults}
