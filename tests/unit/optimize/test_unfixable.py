"""What cannot be fixed is told with its reason, and the original stays."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from support.optimize import faulty, fix, fix_context, samples_for
from support.optimize.faulty import constant, model, node, tensor, weights
from support.optimize.fixing import shapes
from tritongen.formats.servability import validate
from tritongen.model.facts import ModelFacts, ModelFormat, OnnxFacts
from tritongen.model.releases import find
from tritongen.model.tensors import DType, TensorSpec
from tritongen.model.variants import fixes_for
from tritongen.optimize.fixes import FIXES
from tritongen.optimize.fixes.declarations import usable_name


def refused(proto: onnx.ModelProto, folder: Path, name: str, **context: object) -> str:
    """The reason why a fix was not applied."""
    result = fix(proto, folder, names=[name], **context)
    (step,) = result.steps
    assert not step.applied
    assert not result.model
    assert step.cures == FIXES[name].codes
    return step.reason


def fixed(nodes: list, held: list, output: list, shape: tuple = (1, 3, 4)) -> onnx.ModelProto:
    return model(nodes, [tensor("x", shape)], [tensor("y", output)], held)


CASES = {
    "reduced": (
        fixed([node("ReduceMean", "x", "y", axes=[0], keepdims=0)], [], [3, 4]),
        "does not depend on the number of rows",
    ),
    "time": (
        fixed([node("CumSum", "x a", "y")], [constant("a", 0)], [1, 3, 4]),
        "for 2 rows together",
    ),
    "normalised": (
        fixed(
            [node("ReduceMax", "x", "m", axes=[0], keepdims=1), node("Add", "x m", "y")],
            [],
            [1, 3, 4],
        ),
        "differs by",
    ),
    "squeezed": (
        fixed(
            [node("Squeeze", "x z", "s"), node("MatMul", "w s", "y")],
            [constant("z", [0]), weights("w", 2, 3)],
            [2, 4],
        ),
        "takes the batch axis away before MatMul",
    ),
    "merged": (
        fixed(
            [node("Transpose", "x", "t", perm=[1, 0, 2]), node("Reshape", "t s", "y")],
            [constant("s", [12])],
            [12],
        ),
        "merges the batch axis into the axis before it",
    ),
    "joined": (
        fixed([node("Concat", "x k", "y", axis=0)], [weights("k", 1, 3, 4)], [2, 3, 4]),
        "joins along the batch axis",
    ),
    "constant": (
        fixed([node("Mul", "x z", "y")], [constant("z", 0.0, "float32")], [1, 3, 4]),
        "the outputs are the same for every input",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_batch_axes_that_cannot_be_freed(case: str, tmp_path: Path) -> None:
    proto, words = CASES[case]
    assert words in refused(proto, tmp_path, "free_batch")


def test_rows_with_constants_of_their_own(tmp_path: Path) -> None:
    held = [numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(2, 4), "k")]
    proto = fixed([node("Add", "x k", "y")], held, [2, 4], (2, 4))
    assert "holds another constant for each of 2 rows" in refused(proto, tmp_path, "free_batch")


def test_the_users_word_keeps_the_axis(tmp_path: Path) -> None:
    result = fix(faulty.fixed_batch(), tmp_path, names=["free_batch"], batch=False)
    assert result.steps == ()


def test_a_scalar_input_has_no_batch_axis(tmp_path: Path) -> None:
    proto = model(
        [node("Mul", "x k", "y")], [tensor("x", [1, 4]), tensor("k", [])], [tensor("y", [1, 4])]
    )
    assert "no axis of the inputs" in refused(proto, tmp_path, "free_batch")


def test_a_squeezed_batch_axis_at_the_end_comes_back(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("Squeeze", "h", "s"), node("Sigmoid", "s", "y")]
    proto = fixed(nodes, [weights("w", 4, 3)], [3], (1, 4))
    result = fix(proto, tmp_path, names=["free_batch"])
    assert [step.applied for step in result.steps] == [True]
    assert shapes(onnx.load(result.model))["y"] == ("batch", 3)


def test_the_first_row_taken_out_at_the_end_comes_back(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("Gather", "h zero", "y", axis=0)]
    proto = fixed(nodes, [weights("w", 4, 3), constant("zero", 0)], [3], (1, 4))
    result = fix(proto, tmp_path, names=["free_batch"])
    assert [step.applied for step in result.steps] == [True]


def test_merged_rows_of_an_output_are_taken_apart(tmp_path: Path) -> None:
    nodes = [node("Reshape", "x s", "h"), node("MatMul", "h w", "y")]
    proto = fixed(nodes, [constant("s", [3, 4]), weights("w", 4, 2)], [3, 2])
    result = fix(proto, tmp_path, names=["free_batch"])
    assert shapes(onnx.load(result.model))["y"] == ("batch", 3, 2)


def test_sizes_of_resize_follow(tmp_path: Path) -> None:
    nodes = [node("Resize", "x _ _ sizes", "y", mode="nearest")]
    proto = fixed(nodes, [constant("sizes", [1, 2, 8, 8])], [1, 2, 8, 8], (1, 2, 4, 4))
    result = fix(proto, tmp_path, names=["free_batch"])
    assert shapes(onnx.load(result.model))["y"] == ("batch", 2, 8, 8)


def test_a_shape_in_pieces(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "full"),
        node("Gather", "full one", "steps", axis=0),
        node("Concat", "row steps rest", "target", axis=0),
        node("Reshape", "x target", "h"),
        node("MatMul", "h w", "y"),
    ]
    held = [
        constant("one", [1]),
        constant("row", [1]),
        constant("rest", [2, 2]),
        weights("w", 2, 3),
    ]
    proto = fixed(nodes, held, [1, "n", 2, 3], (1, "n", 4))
    result = fix(proto, tmp_path, names=["free_batch"])
    assert [step.applied for step in result.steps] == [True], result.steps
    assert shapes(onnx.load(result.model))["y"][0] == "batch"


def test_a_model_that_does_not_run_is_not_fixed(tmp_path: Path) -> None:
    proto = fixed([node("NoSuchOperator", "x", "y")], [], [1, 3, 4])
    assert "the original cannot be run" in refused(proto, tmp_path, "free_batch")


def test_a_new_element_type_keeps_a_new_ir_version(tmp_path: Path) -> None:
    nodes = [node("DequantizeLinear", "w s", "d"), node("Add", "x d", "y")]
    four = helper.make_tensor("w", TensorProto.INT4, [4], [1, -2, 3, 4])
    proto = model(
        nodes, [tensor("x", ["n", 4])], [tensor("y", ["n", 4])],
        [four, constant("s", 0.5, "float32")], opset=21, ir=10,
    )  # fmt: skip
    assert "INT4, which came with IR 10" in refused(proto, tmp_path, "ir_version", ir=9)


def test_an_operator_that_the_target_lacks(tmp_path: Path) -> None:
    proto = model(
        [node("Gelu", "x", "y")], [tensor("x", ["n", 4])], [tensor("y", ["n", 4])], opset=20, ir=9
    )
    reason = refused(proto, tmp_path, "opset", opset=19)
    assert "onnx cannot convert" in reason
    assert "Gelu" in reason


def test_an_empty_name_is_not_guessed(tmp_path: Path) -> None:
    proto = model([node("Relu", "x", "y")], [tensor("x", ["n", 4])], [tensor("", ["n", 4])])
    assert "empty or no text" in refused(proto, tmp_path, "names")


def test_an_optional_input_with_another_reader(tmp_path: Path) -> None:
    proto = faulty.optional_input()
    proto.graph.node.append(node("Identity", "x", "again"))
    assert "operator Identity takes the optional input" in refused(proto, tmp_path, "optional")


def test_sequences_of_unequal_parts_stay(tmp_path: Path) -> None:
    proto = faulty.sequence(split=True)
    proto.graph.initializer.append(constant("parts", [1, 3]))
    proto.graph.node[1].input.append("parts")
    assert "differ in shape" in refused(proto, tmp_path, "sequence")


def test_nothing_to_do_is_no_step(tmp_path: Path) -> None:
    proto = model(
        [node("MatMul", "x w", "y")], [tensor("x", ["n", 4])], [tensor("y", ["n", 3])],
        [weights("w", 4, 3)],
    )  # fmt: skip
    result = fix(proto, tmp_path)
    assert result.steps == ()
    assert not result.model


def test_fixes_work_together(tmp_path: Path) -> None:
    """A classifier with a fixed batch axis, unseen characters, maps and versions of tomorrow."""
    proto = faulty.zipmap(ml=3)
    for info in (*proto.graph.input, proto.graph.output[0]):
        info.type.tensor_type.shape.dim[0].dim_value = 1
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "x\u200b"
    proto.ir_version = 11
    result = fix(proto, tmp_path, ir=8)
    assert [step.name for step in result.steps if step.applied] == [
        "zipmap", "names", "free_batch", "ir_version",
    ]  # fmt: skip
    assert result.rows_equal
    assert shapes(onnx.load(result.model)) == {
        "x": ("batch", 4), "label": ("batch",), "probability": ("batch", 3),
    }  # fmt: skip


def test_a_finding_knows_its_fixes() -> None:
    assert [item.fix for item in fixes_for("TG110")] == ["zipmap", "sequence"]
    assert [item.fix for item in fixes_for("TG122")] == ["free_batch"]
    assert fixes_for("TG999") == ()


@pytest.mark.parametrize("name", ["x", "a b", "x/y:0", "é", "", "x\0", "x\u200b", "\t"])
def test_names_are_judged_as_inspection_judges_them(name: str) -> None:
    spec = TensorSpec(name, DType.FP32, ("n", 3))
    facts = ModelFacts(
        "m", "m.onnx", ModelFormat.ONNX, inputs=(spec,), outputs=(spec,),
        onnx=OnnxFacts(8, (("ai.onnx", 17),)),
    )  # fmt: skip
    found = {item.code for item in validate(facts, find("26.07"))}
    assert usable_name(name) is ("TG116" not in found)


def test_the_users_samples_join_the_proof(tmp_path: Path) -> None:
    """An axis that looks free on generated inputs and is not on the user's."""
    nodes = [
        node("ReduceMax", "x", "m", axes=[0], keepdims=1),
        node("Greater", "m limit", "b"),
        node("Where", "b m x", "y"),
    ]
    proto = fixed(nodes, [constant("limit", 50.0, "float32")], [1, 4], (1, 4))
    generated = samples_for(proto)
    assert fix(proto, tmp_path / "a", generated, names=["free_batch"]).steps[0].applied
    own = [{"x": np.full((1, 4), value, np.float32)} for value in (99.0, 1.0, 60.0)]
    result = fix(proto, tmp_path / "b", own, names=["free_batch"])
    assert not result.steps[0].applied


def test_the_context_names_the_runtime(tmp_path: Path) -> None:
    result = fix(faulty.new_versions(), tmp_path, ir=9, name="ONNX Runtime 1.16.3")
    assert result.steps[0].reason.endswith("the newest that ONNX Runtime 1.16.3 reads")
    assert fix_context().attempt == 0
