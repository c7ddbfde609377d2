"""Names that tritongen.yaml gives inputs and outputs, by what the file itself says of them."""

import pytest

from tritongen.model.declared_tensors import _contradiction, _named, _places
from tritongen.model.facts import ModelFacts, ModelFormat, TorchArgument, TorchFacts
from tritongen.model.intent import DeclaredTensor
from tritongen.model.tensors import DType, TensorSpec

X, Y = TensorSpec("x", DType.FP32, ("n", 3)), TensorSpec("y", None, None)
GIVEN = DeclaredTensor("z", dtype=DType.FP32)
PLAIN = ModelFacts("m", "m/model.onnx", ModelFormat.ONNX)


def torch(*types: str) -> ModelFacts:
    arguments = tuple(TorchArgument(f"a{number}", kind) for number, kind in enumerate(types))
    return ModelFacts("m", "m/model.pt", ModelFormat.TORCHSCRIPT, torch=TorchFacts(arguments))


TENSORS, DICT = torch("Tensor", "Tensor"), torch("Dict[str, Tensor]")


@pytest.mark.parametrize(
    ("facts", "role", "specs", "stated", "names"),
    [
        (PLAIN, "input", (X, Y), {"y": GIVEN}, ["x", "y"]),
        (PLAIN, "input", (X,), {"z": GIVEN}, ["x", "z"]),
        (PLAIN, "input", (X,), {"z": DeclaredTensor("z")}, ["x"]),
        (PLAIN, "input", (), {"z": GIVEN, "w": GIVEN}, ["z", "w"]),
        (DICT, "input", (X,), {"z": GIVEN, "w": GIVEN}, ["z", "w"]),
        (DICT, "output", (X, Y), {"z": GIVEN}, ["z", "y"]),
        (TENSORS, "input", (X, Y), {"z": GIVEN, "w": GIVEN}, ["z", "w"]),
        (TENSORS, "input", (X, Y), {"z__1": GIVEN}, ["x", "z__1"]),
        (TENSORS, "output", (X, Y), {"z__1": GIVEN, "w__0": GIVEN}, ["w__0", "z__1"]),
    ],
)
def test_names_in_the_order_in_which_the_model_takes_them(facts, role, specs, stated, names):
    assert [spec.name for spec in _named(facts, role, specs, stated)] == names


def test_arguments_have_their_own_places_and_outputs_none():
    assert _places(["b", "a"], ["a", "b"], "input") == {1: "b", 0: "a"}
    assert _places(["b", "a"], ["a", "b"], "output") == {0: "b", 1: "a"}


@pytest.mark.parametrize(
    ("dtype", "dims", "contradicts"),
    [
        (None, None, False),
        (DType.FP32, None, False),
        (DType.INT8, None, True),
        (None, (-1, 3), False),
        (None, (3,), False),
        (None, (8, 3), False),
        (None, (-1, -1), False),
        (None, (-1, 4), True),
        (None, (4,), True),
        (None, (1, 2, 3, 4), True),
    ],
)
def test_a_declaration_that_cannot_be_true(dtype, dims, contradicts):
    assert bool(_contradiction(X, DeclaredTensor("x", dtype=dtype, dims=dims))) is contradicts
    assert _contradiction(Y, DeclaredTensor("x", dtype=dtype, dims=dims)) == ""
