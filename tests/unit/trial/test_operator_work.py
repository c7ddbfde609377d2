"""Operations and bytes of an execution, counted by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from support.trial_models import model, node, weights
from tritongen.model.graph_work import Work
from tritongen.trial.onnx_runtime import OnnxRuntime, executed
from tritongen.trial.operator_work import Executed, graph_work, total, work_of


def counted(path: Path, *rows: dict[str, np.ndarray]):
    found = [OnnxRuntime().operators(path, inputs) for inputs in rows]
    return graph_work(found[0], found[1] if len(found) > 1 else None)


def test_a_perceptron_by_hand(tmp_path):
    path = tmp_path / "m.onnx"
    layers = [
        node("Gemm", "x w1 b1", "h"), node("Relu", "h", "r"), node("Gemm", "r w2 b2", "y"),
    ]  # fmt: skip
    held = [weights("w1", 8, 16), weights("b1", 16), weights("w2", 16, 4), weights("b2", 4)]
    onnx.save(model(layers, [("x", 1, ["n", 8])], [("y", 1, ["n", 4])], held), path)
    row = {"x": np.ones((1, 8), np.float32)}
    work = counted(path, row, {"x": np.ones((2, 8), np.float32)})
    # 2·8·16 + 2·16·4; weights (8·16 + 16 + 16·4 + 4)·4; x, h, r, y; then relu reads and writes 16.
    assert work.of(1) == Work(384, 848 + 4 * (8 + 16 + 16 + 4), 16, 128, 3, 128)
    assert work.of(3) == Work(3 * 384, 848 + 3 * 176, 48, 384, 3, 384)


def test_a_convolution_by_hand(tmp_path):
    path = tmp_path / "m.onnx"
    layers = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("GlobalAveragePool", "c", "p"), node("Flatten", "p", "y"),
    ]  # fmt: skip
    held = [weights("w", 6, 3, 3, 3)]
    onnx.save(model(layers, [("x", 1, ["n", 3, 10, 10])], [("y", 1, ["n", 6])], held), path)
    work = counted(path, {"x": np.ones((1, 3, 10, 10), np.float32)})
    # Each of 6·5·5 outputs is a sum of 3·3·3 products; the pool reads them; the view is free.
    assert work.of(1) == Work(
        2 * 150 * 27, 4 * (300 + 6 * 27 + 150), 150, 4 * (150 + 6), 2, 4 * (300 + 150)
    )
    assert work.further is None


def test_a_recurrent_layer_by_hand(tmp_path):
    path = tmp_path / "m.onnx"
    held = [weights("w", 1, 4 * 5, 3), weights("r", 1, 4 * 5, 5)]
    layers = [node("LSTM", "x w r", "y", hidden_size=5)]
    onnx.save(model(layers, [("x", 1, [7, 2, 3])], [("y", 1, [7, 1, 2, 5])], held), path)
    work = counted(path, {"x": np.ones((7, 2, 3), np.float32)}).of(1)
    assert work.matrix_flops == 2 * 7 * 2 * 4 * 5 * (3 + 5)
    assert work.matrix_bytes == 4 * (7 * 2 * 3 + 20 * 3 + 20 * 5 + 7 * 2 * 5)
    assert work.kernels == 7


@pytest.mark.parametrize(
    ("operator", "flops"),
    [
        (Executed("MatMul", ((2, 3, 4), (4, 5)), ((2, 3, 5),), 1, 1, 1), 2 * 30 * 4),
        (Executed("ConvTranspose", ((1, 4, 5, 5), (4, 2, 3, 3)), ((1, 2, 11, 11),), 1, 1, 1),
         2 * 100 * 18),
        (Executed("Conv", ((1, 8, 5, 5), (8, 4, 3, 3)), ((1, 8, 5, 5),), 1, 1, 1), 2 * 200 * 36),
        (Executed("Conv", ((1, 1, 5, 5), (8, 1, 3, 3)), ((1, 8, 5, 5),), 1, 1, 1), 2 * 200 * 9),
        (Executed("Einsum", ((2, 6, 3, 4), (2, 6, 5, 4)), ((2, 6, 3, 5),), 1, 0, 1),
         2 * 12 * 3 * 5 * 4),
        (Executed("MultiHeadAttention", ((1, 6, 8), (1, 9, 8), (1, 9, 8)), ((1, 6, 8),), 1, 0, 1),
         4 * 6 * 8 * 9),
        (Executed("Attention", ((1, 6, 8), (8, 24), (24,)), ((1, 6, 8),), 1, 1, 1),
         2 * 6 * 8 * 24 + 4 * 6 * 8 * 6),
        (Executed("GRU", ((7, 2, 3), (2, 12, 3), (2, 12, 4)), ((7, 2, 2, 4),), 1, 1, 1),
         2 * 7 * 2 * 2 * 3 * 4 * (3 + 4)),
    ],
)  # fmt: skip
def test_operations_of_matrix_operators(operator, flops):
    assert work_of(operator).matrix_flops == flops


@pytest.mark.parametrize("kind", ["Conv", "FusedConv"])
def test_channels_by_themselves_are_no_matrix_product(kind):
    depthwise = Executed(kind, ((1, 8, 5, 5), (8, 1, 3, 3)), ((1, 8, 5, 5),), 800, 288, 800)
    assert work_of(depthwise) == Work(other_flops=2 * 200 * 9, other_bytes=1888, kernels=1)
    images = ((1, 8, 5, 5), (), (), (8, 1, 3, 3), (), (), (), ())
    quantised = Executed("QLinearConv", images, ((1, 8, 5, 5),), 200, 72, 200)
    assert work_of(quantised).other_flops == 2 * 200 * 9


def test_a_local_response_is_a_sum_of_squares_and_a_power():
    operator = Executed("LRN", ((1, 8, 5, 5),), ((1, 8, 5, 5),), 800, 0, 800)
    assert work_of(operator).other_flops == 200 * (2 * 5 + 2 * 8)


def test_what_costs_nothing_and_what_reads_only_a_part():
    assert work_of(Executed("Reshape", ((2, 3),), ((6,),), 24, 16, 24)) == Work()
    assert work_of(Executed("If", ((1,),), ((6,),), 1, 0, 24)) == Work()
    assert work_of(Executed("Add", ((2,), (2,)), ((2,),), 32, 0, 16, integers=True)) == Work()
    table = Executed("Gather", ((50_000, 8), (4,)), ((4, 8),), 32, 1_600_000, 128)
    assert work_of(table).other_bytes == 256
    assert total([table]).live_bytes == 160


def test_a_profile_without_shapes_is_refused():
    with pytest.raises(LookupError):
        executed(b'[{"cat": "Node", "name": "a_kernel_time", "args": {"op_name": "Add"}}]')
    assert executed(b'[{"cat": "Session", "name": "run", "args": {}}]') == []
