"""What a trial says of models that are Python functions, line by line, reviewed as text.

Each function accepts some inputs and not others, as real models do; the search for inputs, the
proof of the batch axis and that of the other axes see nothing but its answers.
"""

import io
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tritongen.model.evidence import ReportedTensor
from tritongen.model.facts import ModelFormat, Precision
from tritongen.model.intent import AxisIntent
from tritongen.model.tensors import DType, TensorSpec
from tritongen.trial import procedure
from tritongen.trial.child_report import Reporter
from tritongen.trial.child_request import Feed, Limits, TrialRequest
from tritongen.trial.runtime import DeclaredInterface, RuntimeRefusal
from tritongen.triton.sample_tensors import Sample

EXPECTED = Path(__file__).parent / "trials.txt"
F, INT = DType.FP32, DType.INT64
Arrays = Mapping[str, np.ndarray]


@dataclass
class Function:
    """A runtime, and the model that it loads: a function."""

    call: Callable[..., Arrays]
    inputs: tuple[ReportedTensor, ...] = ()
    outputs: tuple[ReportedTensor, ...] = ()
    name: str = "function 1"

    def load(self, _path: Path, **_: object) -> "Function":
        return self

    def run(self, inputs: Arrays) -> Arrays:
        return self.call(**inputs)


def linear(x: np.ndarray) -> Arrays:
    refuse(x.shape[1:] != (4,), "four columns")
    return {"y": x[:, :3] * 2}  # exact on any machine


def refuse(when: bool, words: str = "no", **how: bool) -> None:
    if when:
        raise RuntimeRefusal(words, **how)


def bounded(x):
    refuse(x.shape[1] > 20, "too long")
    return {"y": x.sum(axis=1)}


def multiple(x):
    refuse(x.shape[1] % 4 != 0, "not a multiple")
    return {"y": x.sum(axis=1)}


def baked(x):
    refuse(x.shape[1] % 128 > 0, "cannot be reshaped")
    return {"y": x.reshape(-1, 128, 4).sum(axis=(1, 2))}


def narrow(x):
    refuse(x.shape[1] != 16, "only 16")
    return {"y": x.sum(axis=1)}


def one_row(x):
    refuse(len(x) != 1, "one row only")
    return linear(x)


def pairs(x):
    refuse(len(x) % 2 == 1, "an even number of rows")
    return linear(x)


def few(x):
    refuse(len(x) > 6, "six rows at most")
    return linear(x)


def scaled(x):
    return {"y": x * x.max()}


def since_first(x):
    return {"y": x - x[0]}


def no_zeros(x):
    refuse(not x.any(), "zeros are no input")
    return linear(x)


def small_numbers(ids):
    refuse(bool((ids > 1).any()), "index out of range", about_values=True)
    return {"y": ids.astype(np.float32)}


def changing() -> Callable[..., Arrays]:
    noise = itertools.count()
    return lambda x: {"same": x, "y": x + next(noise)}


def capricious() -> Callable[..., Arrays]:
    runs = itertools.count()

    def call(x):
        refuse(next(runs) > 0, "not again")
        return linear(x)

    return call


def two(a, b):
    refuse(a.shape != b.shape, "shapes differ")
    return {"y": a * b}


def nothing(x):
    raise RuntimeRefusal("no kernel")


def hungry(x):
    refuse(x.shape[1] > 32, "out of memory", out_of_memory=True)
    return {"y": x.sum(axis=1)}


def texts(text):
    refuse(bool((text != b"0").all() and (text != b"1").all()), "not a number", about_values=True)
    return {"y": np.ones(len(text), np.float32)}


ROW, SEQ = Feed("x", F, ("n", 4)), Feed("x", F, ("n", "seq"))


@dataclass(frozen=True)
class Case:
    """A function, and what is known of its inputs."""

    call: Callable[..., Arrays]
    feeds: tuple[Feed, ...] = (ROW,)
    changes: Mapping[str, object] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()


def declared(name: str, dtype: DType, *shape: object) -> DeclaredInterface:
    return DeclaredInterface(outputs=(TensorSpec(name, dtype, shape),))


def sample(*values: float) -> Sample:
    return Sample("one.json", {"x": np.array([values], np.float32)}, {})


CASES = {
    "rows": Case(linear),
    "batching is forbidden": Case(linear, changes={"batch": False}),
    "fixed rows": Case(linear, (replace(ROW, shape=(1, 4)),)),
    "rows of half precision": Case(linear, changes={"precision": Precision.HALF}),
    "another type than declared": Case(linear, changes={"interface": declared("y", INT, "n", 3)}),
    "another shape than declared": Case(linear, changes={"interface": declared("y", F, "n", 2)}),
    "as declared": Case(linear, changes={"interface": declared("y", F, "n", 3)}),
    "one row only": Case(one_row),
    "pairs of rows": Case(pairs),
    "six rows": Case(few),
    "many rows": Case(linear, changes={"most_rows": 40}),
    "coupled": Case(scaled),
    "since the first row": Case(since_first),
    "dynamic scales": Case(scaled, changes={"dynamic_quantization": True}),
    "no zeros": Case(no_zeros),
    "changing": Case(changing()),
    "capricious": Case(capricious()),
    "nothing runs": Case(nothing),
    "small numbers": Case(small_numbers, (Feed("ids", INT, ("n", 8)),)),
    "numbers in texts": Case(texts, (Feed("text", DType.BYTES, ("n",)),)),
    "any length": Case(lambda x: {"y": x.sum(axis=1)}, (SEQ,)),
    "bounded length": Case(bounded, (SEQ,)),
    "multiples": Case(multiple, (SEQ,)),
    "one length": Case(narrow, (SEQ,)),
    "stated length": Case(bounded, (SEQ,), {"axes": {"seq": AxisIntent(2, 8, 24)}}),
    "stated and bounded": Case(bounded, (SEQ,), {"axes": {"seq": AxisIntent(2, 8, 20)}}),
    "baked in": Case(baked, (Feed("x", F, ("n", "seq", 4)),)),
    "hungry": Case(hungry, (SEQ,)),
    "equal lengths": Case(two, (Feed("a", F, ("n", None)), Feed("b", F, ("n", None)))),
    "shared symbol": Case(two, (Feed("a", F, ("n", "seq")), Feed("b", F, ("n", "seq")))),
    "sizes of the user": Case(bounded, (replace(SEQ, sizes=(3, 5)),)),
    "values of the user": Case(no_zeros, (replace(ROW, values="ones"),)),
    "unknown rank": Case(lambda x: {"y": x}, (Feed("x", F, None),)),
    "guesses": Case(
        linear, (replace(ROW, shape=("n", 5)),), {"guesses": ((ROW,),)}
    ),
    "open shapes": Case(bounded, (replace(SEQ, shape=(1, 16)),), {"open_shapes": True}),
    "samples": Case(no_zeros, samples=(sample(1, 2, 3, 4), sample(0, 0, 0, 1))),
    "a refused sample": Case(no_zeros, samples=(sample(1, 2, 3, 4), sample(0, 0, 0, 0))),
}  # fmt: skip
# Of the machine, not of the model.
MEASURED = {"peak_bytes", "costs"}


def told(case: Case) -> list[str]:
    """The lines that the child would send, without what is measured."""
    request = TrialRequest(
        ModelFormat.ONNX, "m", case.feeds, None, Precision.SINGLE, False, False, 1, 3,
        Limits(1e7, 0.0, 1, 0, 1),
    )  # fmt: skip
    sink = io.StringIO()
    procedure.perform(
        replace(request, **case.changes), Function(case.call), Reporter(sink), case.samples
    )
    lines = []
    for line in map(json.loads, sink.getvalue().splitlines()):
        trial = {k: v for k, v in line.get("trial", {}).items() if k not in MEASURED}
        if "stage" in line or trial:
            lines.append(json.dumps(trial or line))
    return lines


def test_trials(monkeypatch, update_golden) -> None:
    # No size is left out for the time that it would take on a busy machine.
    monkeypatch.setattr(procedure, "_AXES_S", 1e6)
    lines = []
    for name, case in CASES.items():
        lines += [f"== {name}", *told(case), ""]
    text = "\n".join(lines)
    if update_golden:
        EXPECTED.write_text(text, encoding="utf-8")
    assert text == EXPECTED.read_text(encoding="utf-8")
