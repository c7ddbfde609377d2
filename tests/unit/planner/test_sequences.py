"""Sequences: states and controls of the model, checked without a server."""

import pytest

from tritongen.config.config_message import set_sequence
from tritongen.config.protobuf import new_model_config
from tritongen.intent.reader import parse_intent
from tritongen.model.backends import backend_for
from tritongen.model.evidence import BatchProof, BatchVerdict, Cost, ObservedTensor, Trial
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.intent import ModelIntent
from tritongen.model.releases import find
from tritongen.model.serving_plan import Planned, Reason, Source
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner.batching import BatchPlan
from tritongen.planner.context import ModelInput
from tritongen.planner.model_settings import plan_tensors, plan_warmup
from tritongen.planner.sequences import (
    CANDIDATES,
    IDLE_US,
    client_tensors,
    plan_sequence,
    sequence_batch,
    sequence_findings,
)

WHY = Reason(Source.RULE, "because")
INPUTS = (
    TensorSpec("x", DType.FP32, ("n", 3)),
    TensorSpec("h", DType.FP32, ("n", 4)),
    TensorSpec("start", DType.FP32, ("n", 1)),
    TensorSpec("key", DType.UINT64, ("n", 1)),
)
OUTPUTS = (TensorSpec("y", DType.FP32, ("n", 1)), TensorSpec("h_out", DType.FP32, ("n", 4)))
SEQUENCE = "state: {h: h_out}, controls: {start: start, id: key}"


def intent(sequence=SEQUENCE, more=""):
    document = parse_intent(f"models: {{m: {{{more} sequence: {{{sequence}}}}}}}", "t.yaml")
    assert not document.faults
    return document.intent.of("m")


def model(wanted, inputs=INPUTS, outputs=OUTPUTS, format_=ModelFormat.ONNX, trial=None):
    facts = ModelFacts("m", "m/model.onnx", format_, inputs=inputs, outputs=outputs)
    backend = backend_for(format_)
    assert backend is not None
    return ModelInput(facts, wanted, backend, find("26.07"), trial, None)


def batch(size):
    return BatchPlan(Planned(size, WHY), None, None)


def faults(sequence, **changes):
    found = sequence_findings(model(intent(sequence), **changes), batching=True)
    assert {item.code for item in found} <= {"TG318"}
    return [(item.location.field.removeprefix("models.m.sequence"), item.message) for item in found]


def test_states_and_controls_stay_between_server_and_model():
    given = model(intent())
    inputs, outputs = client_tensors(given, *plan_tensors(given, batching=True))
    assert [item.name for item in inputs] == ["x"]
    assert [item.name for item in outputs] == ["y"]
    plan = plan_sequence(given, batch(4), 2)
    assert plan is not None
    (state,) = plan.states
    assert (state.input, state.output, state.dims, state.initial) == ("h", "h_out", (4,), (4,))
    message = new_model_config()
    set_sequence(message, plan, {})
    batcher = message.sequence_batching
    assert batcher.max_sequence_idle_microseconds == IDLE_US
    assert batcher.oldest.max_candidate_sequences == CANDIDATES
    start, key = batcher.control_input
    assert list(start.control[0].fp32_false_true) == [0, 1]
    assert key.control[0].data_type == 5  # TYPE_UINT64
    assert key.control[0].kind == 3  # CONTROL_SEQUENCE_CORRID
    assert batcher.state[0].initial_state[0].zero_data
    assert sequence_findings(given, batching=True) == ()


def test_what_tritongen_yaml_says_is_taken():
    given = model(intent(f"{SEQUENCE}, concurrent: 100, idle: 250ms"))
    plan = plan_sequence(given, batch(4), 3)
    assert plan is not None
    assert plan.candidates is not None
    assert (plan.candidates.value, plan.idle_us.value) == (34, 250_000)


def test_a_dynamic_state_begins_as_triton_begins_it():
    inputs = (INPUTS[0], TensorSpec("h", DType.FP32, (2, None, 4)))
    outputs = (OUTPUTS[0], TensorSpec("h_out", DType.FP32, (2, None, 4)))
    plan = plan_sequence(model(intent("state: {h: h_out}"), inputs, outputs), batch(0), 1)
    assert plan is not None
    assert (plan.states[0].dims, plan.states[0].initial) == ((2, -1, 4), (2, 1, 4))
    assert "takes 1 for a dynamic size" in plan.states[0].reason.sentence


@pytest.mark.parametrize(
    ("sequence", "more", "size", "planned"),
    [
        (SEQUENCE, "", 8, 1),  # nothing is gained by merging
        (SEQUENCE, "max_batch_size: 8,", 8, 8),
        (SEQUENCE, "", 0, 0),
        (f"{SEQUENCE}, strategy: direct, concurrent: 30", "", 8, 15),
        (f"{SEQUENCE}, strategy: direct", "max_batch_size: 4,", 4, 4),
        (f"{SEQUENCE}, strategy: direct", "", 0, 0),
    ],
)
def test_sizes(sequence, more, size, planned):
    found = sequence_batch(model(intent(sequence, more)), batch(size), 2)
    assert found.max_batch_size.value == planned
    assert found.batching is None
    direct = "direct" in sequence
    plan = plan_sequence(model(intent(sequence, more)), found, 2)
    assert plan is not None
    assert (plan.candidates is None) == direct


def test_sequences_are_not_warmed_up():
    trial = Trial(
        "onnxruntime 1.32.0",
        ok=True,
        inputs=(ObservedTensor("x", DType.FP32, (1, 3)),),
        proof=BatchProof(BatchVerdict.PROVEN, "because"),
        costs=(Cost(1, 1, 1.0),),
        zeros_ok=True,
    )
    samples, reason = plan_warmup(model(intent(), trial=trial), 1, None)
    assert samples == ()
    assert "state" in reason.sentence
    assert plan_warmup(model(ModelIntent(), trial=trial), 1, None)[0] != ()


@pytest.mark.parametrize(
    ("sequence", "place", "words"),
    [
        ("state: {z: h_out}", ".state.z", "no input 'z'; it has x, h"),
        ("state: {h: z}", ".state.h", "no output 'z'; it has y, h_out"),
        ("state: {h: y}", ".state.h", "h is [n, 4] and y is [n, 1]"),
        ("state: {key: y}", ".state.key", "key is UINT64 and y is FP32"),
        ("controls: {start: z}", ".controls.start", "no input 'z'"),
        ("controls: {start: key}", ".controls.start", "key is UINT64; Triton feeds FP32"),
        ("controls: {ready: x}", ".controls.ready", "feeds one value after the batch axis: [1]"),
        ("controls: {id: start}", ".controls.id", "start is FP32; Triton feeds UINT64"),
        ("state: {h: h_out, start: y}", ".state", "every output is a state"),
    ],
)
def test_what_does_not_fit(sequence, place, words):
    ((found, message),) = faults(sequence)
    assert found == place
    assert words in message


def test_backends_that_keep_no_state():
    forest = faults("state: {h: h_out}", format_=ModelFormat.OPENVINO)
    assert "openvino backend hands no state back" in forest[0][1]
    unnumbered = faults("state: {h: h_out}", format_=ModelFormat.TORCHSCRIPT)
    assert "names such as INPUT__0" in unnumbered[0][1]


def test_all_inputs_fed_by_the_server():
    inputs = (INPUTS[1], INPUTS[2])
    ((place, message),) = faults("state: {h: h_out}, controls: {start: start}", inputs=inputs)
    assert (place, "every input is a state" in message) == ("", True)
