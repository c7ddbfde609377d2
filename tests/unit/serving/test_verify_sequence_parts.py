"""What `verify` sends of sequences: their controls, their first state and their order."""

import numpy as np
import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.samples import InputRecipe
from tritongen.model.tensors import DType
from tritongen.serving.verify_sequence import _control, _controls, _initial, sequence_pairs
from tritongen.triton.client import SequenceStep

BATCHER = {
    "state": [
        {"input_name": "h", "output_name": "hn", "data_type": "TYPE_FP32", "dims": ["-1", 2]}
    ],
    "control_input": [
        {"name": "start", "control": [
            {"kind": "CONTROL_SEQUENCE_START", "int32_false_true": [0, 1]}]},
        {"name": "id", "control": [
            {"kind": "CONTROL_SEQUENCE_CORRID", "data_type": "TYPE_STRING"}]},
        {"name": "end", "control": [
            {"kind": "CONTROL_SEQUENCE_END", "fp32_false_true": [0, 1]}]},
        {"name": "ready", "control": [
            {"kind": "CONTROL_SEQUENCE_READY", "bool_false_true": [False, True]}]},
        {"name": "number", "control": [{"kind": "CONTROL_SEQUENCE_CORRID"}]},
    ],
}  # fmt: skip


def test_controls_have_the_type_that_the_configuration_gives_them():
    assert list(_controls(BATCHER)) == [
        ("start", "CONTROL_SEQUENCE_START", "int32"), ("id", "CONTROL_SEQUENCE_CORRID", "object"),
        ("end", "CONTROL_SEQUENCE_END", "float32"), ("ready", "CONTROL_SEQUENCE_READY", "bool"),
        ("number", "CONTROL_SEQUENCE_CORRID", "uint64"),
    ]  # fmt: skip
    assert list(_controls({})) == []
    at = SequenceStep(7, start=True, end=False)
    fed = {name: _control(kind, dtype, at, True) for name, kind, dtype in _controls(BATCHER)}
    assert [fed[name].ravel()[0] for name in ("start", "end", "ready", "number", "id")] == [
        1, 0.0, True, 7, b"7",
    ]  # fmt: skip
    assert fed["start"].shape == (1, 1)
    assert _control("CONTROL_SEQUENCE_END", "bool", at, False).shape == (1,)


def test_a_first_state_is_zeros_or_what_a_file_holds(tmp_path):
    state = {"input_name": "h", "output_name": "hn", "data_type": "TYPE_FP32", "dims": ["-1", 2]}
    assert _initial([state], True, tmp_path)["h"].tolist() == [[[0, 0]]]
    assert _initial([state], False, tmp_path)["h"].shape == (1, 2)
    folder = tmp_path / "initial_state"
    folder.mkdir()
    (folder / "h.bin").write_bytes(np.array([1, 2, 3], np.float32).tobytes())
    filed = {**state, "initial_state": [{"dims": [2], "data_file": "h.bin"}]}
    assert _initial([filed], True, tmp_path)["h"].tolist() == [[1, 2]]
    wide = {**state, "initial_state": [{"dims": [4], "data_file": "h.bin"}]}
    with pytest.raises(InvalidInputError, match="has 12 bytes; the state has 16"):
        _initial([wide], True, tmp_path)
    lost = {**state, "initial_state": [{"dims": [3], "data_file": "lost"}]}
    with pytest.raises(InvalidInputError, match="cannot be read"):
        _initial([lost], True, tmp_path)


class Counter:
    """A server that adds up a sequence's inputs, as a loop with the state does here."""

    def __init__(self) -> None:
        self.steps: list[SequenceStep] = []
        self.sums: dict[object, np.ndarray] = {}

    def served(self, inputs, _expected, at):
        assert set(inputs) == {"x"}
        self.steps.append(at)
        before = 0 if at.start else self.sums[at.identity]
        self.sums[at.identity] = before + inputs["x"]
        return {"y": self.sums[at.identity]}


def test_sequences_are_interleaved_and_each_carries_its_own_state(tmp_path):
    config = {
        "max_batch_size": 4, "output": [{"name": "y"}],
        "sequence_batching": {
            "state": [{**BATCHER["state"][0], "dims": [1]}],
            "control_input": BATCHER["control_input"][:1],
        },
    }  # fmt: skip

    def local(inputs):
        total = inputs["x"] + inputs["h"] * (1 - inputs["start"])
        return {"y": total, "hn": total}

    recipes = [InputRecipe(name, DType.FP32, (1, 1)) for name in ("x", "h", "start")]
    server = Counter()
    pairs = sequence_pairs(config, recipes, 1, local, server.served, tmp_path)
    assert len(pairs) == 8
    assert len({at.identity for at in server.steps}) == 2
    assert [(at.start, at.end) for at in server.steps[::2]] == [
        (True, False), (False, False), (False, False), (False, True),
    ]  # fmt: skip
    assert all(np.allclose(one.expected["y"], one.served["y"]) for one in pairs)
    assert len({float(one.expected["y"].ravel()[0]) for one in pairs}) == 8
