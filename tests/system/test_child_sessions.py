"""Models that run for their answers: data shares a child, and code has one of its own."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest

from support import trial_models as made
from support.trial_models import facts_of
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.tensors import DType, TensorSpec
from tritongen.system.process_files import descendants
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.child_session import ChildSessions
from tritongen.trial.runtime import DeclaredInterface, RuntimeRefusal

MIB = 2**20
NONE = DeclaredInterface()
ROW = {"x": np.ones((1, 2), np.float32)}
ROWS = {"x": np.arange(12, dtype=np.float32).reshape(2, 6)}
PROGRAM = """
import os
import numpy as np
import triton_python_backend_utils as utils

class TritonPythonModel:
    def execute(self, requests):
        value = utils.get_input_tensor_by_name(requests[0], "x").as_numpy()
        if value.sum() < 0:
            os.abort()
        return [utils.InferenceResponse([utils.Tensor("y", value * 2)])]
"""
SPEC = (TensorSpec("x", DType.FP32, (None, 6)),), (TensorSpec("y", DType.FP32, (None, 6)),)


def stored(proto: onnx.ModelProto, name: str, folder: Path) -> tuple[ModelFacts, Path]:
    """A model with its file."""
    path = folder / f"{name}.onnx"
    path.write_bytes(proto.SerializeToString())
    return facts_of(proto, path.name, path.stat().st_size), path


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = set(descendants(os.getpid()))
    yield
    assert set(descendants(os.getpid())) <= before


@pytest.fixture
def good(tmp_path: Path) -> tuple[ModelFacts, Path]:
    return stored(made.mlp(), "good", tmp_path)


def test_models_that_are_data_share_a_child(good, tmp_path):
    facts, path = good
    refused = stored(made.unloadable()["operator"][0], "refused", tmp_path)
    with closing(ChildSessions([facts, refused[0]])) as sessions:
        with sessions.session(facts, path, NONE) as first:
            child = first.child.process.pid
            expected = first.run(ROWS)["y"]
            with sessions.session(facts, path, NONE) as beside:
                assert beside.child.process.pid == child
                assert np.array_equal(beside.run(ROWS)["y"], expected)
            with pytest.raises(RuntimeRefusal, match="No Op registered"):
                sessions.session(*refused, NONE).__enter__()
            with pytest.raises(RuntimeRefusal, match="Got invalid dimensions"):
                first.run({"x": np.ones((1, 7), np.float32)})
            assert np.array_equal(first.run(ROWS)["y"], expected)
        with sessions.session(facts, path, NONE) as later:
            assert later.child.process.pid == child


def kill(session) -> None:
    """Ends the half of a child that runs models, as a crash of a library does."""
    (worker,) = descendants(session.child.process.pid)
    os.kill(worker, signal.SIGSEGV)


@pytest.mark.parametrize(
    ("proto", "before", "words"),
    [
        (made.endless(), None, "it took longer than 3 s"),
        (made.hungry(2**27, times=3), None, "it took more than 0.4 GiB of memory"),
        (made.mlp(), kill, f"it crashed with signal {int(signal.SIGSEGV)}"),
    ],
    ids=["time", "memory", "crash"],
)
def test_a_child_that_dies_loses_only_the_model_that_it_ran(proto, before, words, good, tmp_path):
    bad = stored(proto, "bad", tmp_path)
    options = TrialOptions(cores=1, timeout_s=3, memory_bytes=400 * MIB)
    with closing(ChildSessions([good[0], bad[0]], options)) as sessions:
        with sessions.session(*good, NONE) as session:
            expected, first = session.run(ROWS)["y"], session.child.process.pid
        with sessions.session(*bad, NONE) as session:
            assert session.child.process.pid == first
            if before is not None:
                before(session)
            for _ in range(2):  # what is gone stays gone
                with pytest.raises(RuntimeRefusal, match=words):
                    session.run(ROWS if before is not None else ROW)
        with sessions.session(*good, NONE) as session:
            assert session.child.process.pid != first
            assert np.array_equal(session.run(ROWS)["y"], expected)


def test_code_has_a_child_of_its_own(good, tmp_path):
    path = tmp_path / "program/1/model.py"
    path.parent.mkdir(parents=True)
    path.write_text(PROGRAM)
    program = ModelFacts("program", "program/1/model.py", ModelFormat.PYTHON)
    interface = DeclaredInterface(*SPEC)
    with closing(ChildSessions([good[0], program])) as sessions:
        with sessions.session(*good, NONE) as shared:
            child = shared.child.process.pid
            with sessions.session(program, path, interface) as own:
                assert own.child.process.pid != child
                assert np.array_equal(own.run(ROWS)["y"], ROWS["x"] * 2)
                with pytest.raises(RuntimeRefusal, match="crashed with signal 6"):
                    own.run({"x": -ROWS["x"]})
            assert shared.run(ROWS)
        with sessions.session(*good, NONE) as later:
            assert later.child.process.pid == child
