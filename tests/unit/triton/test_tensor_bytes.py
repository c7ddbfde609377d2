"""Arrays become another type where no value is lost, and bytes where they fill the shape."""

import numpy as np
import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.model.tensors import DType
from tritongen.triton.tensor_bytes import cast, decode, sent_type


@pytest.mark.parametrize(
    ("given", "dtype", "found"),
    [
        ([1, 2], DType.INT8, [1, 2]),
        ([127, 128], DType.INT8, None),
        ([1.0, 2.0], DType.INT32, [1, 2]),
        ([1.5], DType.INT32, None),
        ([1e300], DType.FP32, [float("inf")]),
        ([0.1], DType.FP16, [np.float16(0.1)]),
        ([-1], DType.UINT8, None),
        ([0, 1], DType.BOOL, [False, True]),
        ([0, 2], DType.BOOL, None),
        ([True], DType.FP32, [1.0]),
        (["a", b"b"], DType.BYTES, [b"a", b"b"]),
        ([1], DType.BYTES, None),
        (["1"], DType.INT32, None),
    ],
)
def test_a_cast_keeps_every_value_or_is_none(given, dtype, found):
    if isinstance(given[0], str):
        given = np.array(given, dtype=object)
    result = cast(np.array(given), dtype)
    assert (result is None) if found is None else (result.tolist() == found)


def test_strings_of_every_kind_are_bytes():
    for array in (np.array(["a"]), np.array([b"a"]), np.array(["a"], dtype=object)):
        assert sent_type("x", array) is DType.BYTES
        assert cast(array, DType.BYTES).tolist() == [b"a"]
    with pytest.raises(EnvironmentProblem) as caught:
        sent_type("x", np.zeros(1, np.complex64))
    assert (caught.value.code, caught.value.where) == ("TG815", "x")


@pytest.mark.parametrize(
    ("data", "shape", "said"),
    [
        (b"\1\0\0\0a", (2,), "the server sent 1 strings for 2 elements"),
        (b"\1\0\0\0a\1\0\0", (1,), None),
        (b"", (0,), None),
    ],
)
def test_strings_are_counted(data, shape, said):
    if said is None:
        assert decode(memoryview(data), DType.BYTES, shape).shape == shape
    else:
        with pytest.raises(EnvironmentProblem, match=said):
            decode(memoryview(data), DType.BYTES, shape)
