"""Inputs that may be missing are fed as the tensors that they would be."""

import pytest
from onnx import helper

from support.onnx_models import FLOAT, INT64, model, save, value
from tritongen.model.tensors import DType
from tritongen.optimize.apply_fixes import _optional_inputs


def optional(name: str, kind: object):
    return helper.make_value_info(name, helper.make_optional_type_proto(kind))


@pytest.mark.parametrize(
    ("info", "found"),
    [
        (value("o", FLOAT, ("n", 3)), []),
        (
            optional("o", helper.make_tensor_type_proto(INT64, ("n", 3))),
            [("o", DType.INT64, (1, 3))],
        ),
        (optional("o", helper.make_tensor_type_proto(FLOAT, None)), [("o", DType.FP32, ())]),
        (
            optional(
                "o",
                helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, ("n",))),
            ),
            [],
        ),
    ],
)
def test_optional_tensors_alone(tmp_path, info, found):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    path = save(model(nodes, [value("x"), info], [value("y")]), tmp_path / "m.onnx")
    assert [(one.name, one.dtype, one.shape) for one in _optional_inputs(path)] == found
