"""`sequence_batching.state` on a real Triton: as a loop that carries the state by hand."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from support.recurrent import HIDDEN, by_hand, cell, silero_vad
from support.serving_models import ONE_INSTANCE, tensor_text
from tritongen.errors import EnvironmentProblem
from tritongen.triton.client import SequenceStep
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_client import HttpClient

HEAD = 'backend: "onnxruntime"\n'
STATE = (
    'state { input_name: "h" output_name: "h_out" data_type: TYPE_FP32 dims: [ 4 ] '
    'initial_state { name: "zero" data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } }'
)
ZERO = {"h": np.zeros((1, HIDDEN), np.float32)}
NAMES = {"h": "h_out"}
OLDEST = "oldest { max_candidate_sequences: 8 max_queue_delay_microseconds: 2000 }"


def config(strategy=OLDEST, state=STATE, controls="", batch=4, outputs=("y",), instances=2):
    tensors = tensor_text("input", "x", "TYPE_FP32", [3])
    for name in outputs:
        tensors += tensor_text("output", name, "TYPE_FP32", [HIDDEN if name == "h_out" else 1])
    sequence = f"{strategy} {controls} {state} max_sequence_idle_microseconds: 60000000"
    return (
        f"{HEAD}max_batch_size: {batch}\n{tensors}"
        f"instance_group {{ kind: KIND_CPU count: {instances} }}\n"
        f"sequence_batching {{ {sequence} }}\n"
    )


def control(name, kind):
    values = f"kind: CONTROL_SEQUENCE_{kind} fp32_false_true: [ 0, 1 ]"
    return f'control_input {{ name: "{name}" control {{ {values} }} }} '


def steps(seed, count=5):
    generator = np.random.default_rng(seed)
    return [{"x": generator.normal(size=(1, 3)).astype(np.float32)} for _ in range(count)]


def send(client, name, identity, inputs, outputs=()):
    last = len(inputs) - 1
    return [
        client.infer(
            name, step, outputs, sequence=SequenceStep(identity, index == 0, index == last)
        )
        for index, step in enumerate(inputs)
    ]


def equal(given, expected, name="y"):
    for got, want in zip(given, expected, strict=True):
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strategy", [OLDEST, "direct { }"])
def test_many_sequences_at_once_keep_their_own_states(strict_server, load, strategy):
    controls = control("ready", "READY") if strategy.startswith("direct") else ""
    model = cell(["ready"] if controls else [])
    name = load(config(strategy, controls=controls), model)
    address = strict_server.server.endpoints.http

    def ask(number):
        with HttpClient(address) as client:
            return send(client, name, number + 1, steps(number))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    for number, given in enumerate(found):
        fed = steps(number)
        if controls:
            fed = [{**step, "ready": np.ones((1, 1), np.float32)} for step in fed]
        equal(given, by_hand(model, fed, ZERO, NAMES))


def test_a_real_recurrent_model_hears_what_a_loop_by_hand_hears(strict_server, load):
    model = silero_vad()
    text = (
        HEAD
        + tensor_text("input", "input", "TYPE_FP32", [-1, -1])
        + tensor_text("input", "sr", "TYPE_INT64", [1])
        + tensor_text("output", "output", "TYPE_FP32", [-1, 1])
        + ONE_INSTANCE
        + "sequence_batching { oldest { max_candidate_sequences: 4 } state { "
        'input_name: "state" output_name: "stateN" data_type: TYPE_FP32 dims: [ 2, -1, 128 ] '
        'initial_state { name: "zero" data_type: TYPE_FP32 dims: [ 2, 1, 128 ] zero_data: true } '
        "} }\n"
    )
    name = load(text, model.read_bytes())
    generator = np.random.default_rng(0)
    sound = [
        {
            "input": (generator.normal(size=(1, 512)) * 0.3).astype(np.float32),
            "sr": np.array([16000], np.int64),
        }
        for _ in range(6)
    ]
    local = [{**step, "sr": np.array(16000, np.int64)} for step in sound]
    expected = by_hand(
        model, local, {"state": np.zeros((2, 1, 128), np.float32)}, {"state": "stateN"}
    )
    equal(send(strict_server.client, name, "a-call", sound), expected, "output")
    assert len({float(item["output"][0, 0]) for item in expected}) == 6


def test_a_sequence_begins_anew_and_both_protocols_carry_it(strict_server, load):
    model = cell()
    name = load(config(outputs=("y", "h_out")), model)
    expected = by_hand(model, steps(1), ZERO, NAMES)
    client = strict_server.client
    client.infer(name, steps(2)[0], sequence=SequenceStep(5, start=True))
    with GrpcClient(strict_server.server.endpoints.grpc) as other:
        given = send(other, name, 5, steps(1))  # START in the middle of a sequence
    equal(given, expected)
    equal(given, expected, "h_out")  # a state that is an output too
    again = send(client, name, 5, steps(1), outputs=("y",))
    assert set(again[0]) == {"y"}
    equal(again, expected)


def test_what_a_failing_step_leaves(strict_server, load):
    model = cell()
    name = load(config(batch=4), model)
    client = strict_server.client
    first, second = steps(3, 2)
    client.infer(name, first, sequence=SequenceStep(9, start=True))
    with pytest.raises(EnvironmentProblem, match="unexpected shape for input 'x'"):
        client.infer(name, {"x": np.zeros((1, 5), np.float32)}, sequence=SequenceStep(9))
    given = client.infer(name, second, sequence=SequenceStep(9, end=True))
    equal([given], by_hand(model, [first, second], ZERO, NAMES)[1:])
    with pytest.raises(EnvironmentProblem, match="must specify the START flag"):
        client.infer(name, second, sequence=SequenceStep(9))


def test_controls_reach_the_model(strict_server, load):
    kinds = {"start": "START", "end": "END", "ready": "READY"}
    controls = "".join(control(name, kind) for name, kind in kinds.items())
    outputs = ("y", "start_seen", "end_seen", "ready_seen")
    name = load(config(controls=controls, outputs=outputs), cell(list(kinds)))
    given = send(strict_server.client, name, 3, steps(4, 3))
    assert [item["start_seen"].item() for item in given] == [1.0, 0.0, 0.0]
    assert [item["end_seen"].item() for item in given] == [0.0, 0.0, 1.0]
    assert [item["ready_seen"].item() for item in given] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (STATE.replace('"h"', '"absent"'), "unexpected inference input 'absent'"),
        (STATE.replace('"h_out"', '"absent"'), "unexpected inference output 'absent'"),
        (STATE.replace("FP32", "FP16"), "expects datatype TYPE_FP16 for input state 'h'"),
        ("", "configuration expects 1 inputs, model provides 2"),
    ],
)
def test_states_that_are_not_the_models_are_refused(strict_server, state, reason):
    name = strict_server.unique("states")
    found = strict_server.try_model(name, config(state=state), {"1/model.onnx": cell()})
    strict_server.unload(name)
    assert found is not None
    assert reason in found
