"""Joining and splitting of batches."""

import numpy as np
import pytest

from tritongen.serving.backends.common.python_backends.batches import rows
from tritongen.serving.backends.onnxruntime.ort_backend.batch import RequestBatcher, describe
from tritongen.serving.backends.onnxruntime.ort_backend.config import (
    BatchInput,
    ConfigInterface,
    ConfigTensor,
    RefusedError,
)
from tritongen.serving.backends.onnxruntime.ort_backend.signature import ModelSignature, ModelTensor


def batcher(*, batch=8, dims=(2,), shape=(-1, 2), ragged=False, **interface):
    tensor = ModelTensor("x", "TYPE_FP32", "TYPE_FP32", "FLOAT", shape)
    declared = ConfigInterface(
        "m",
        batch,
        (ConfigTensor("x", "TYPE_FP32", dims, ragged=ragged),),
        (ConfigTensor("y", "TYPE_FP32", dims),),
        **interface,
    )
    return RequestBatcher(declared, ModelSignature({"x": tensor}, {}, {}))


def requests(*sizes):
    start = 0
    made = []
    for size in sizes:
        values = np.arange(start, start + 2 * size, dtype=np.float32)
        made.append({"x": values.reshape(size, 2)})
        start += 2 * size
    return made


def test_rows_come_back_to_their_requests():
    given = requests(1, 3, 0, 2)
    joined = batcher().join(given)["x"]
    assert joined.shape == (6, 2)
    parts = batcher().split("y", joined * 2, given)
    for request, part in zip(given, parts, strict=True):
        np.testing.assert_array_equal(part, request["x"] * 2)


def test_one_request_is_not_copied():
    (given,) = requests(3)
    joined = batcher().join([given])["x"]
    assert joined is given["x"]
    assert batcher().split("y", joined, [given])[0] is joined


def test_an_output_that_lost_rows_fails_the_requests_that_miss_them():
    given = requests(2, 2)
    parts = batcher().split("y", np.zeros((3, 2), np.float32), given)
    assert isinstance(parts[0], np.ndarray)
    assert isinstance(parts[1], RefusedError)
    assert str(parts[1]) == (
        "failed to split the output tensor 'y' in responses: expected batch size of at least 4 in "
        "model output, got 3"
    )


def test_an_output_with_too_many_rows_gives_the_first():
    (given,) = requests(2)
    (part,) = batcher().split("y", np.zeros((5, 2), np.float32), [given])
    assert part.shape == (2, 2)


def test_scalars_take_the_configuration_s_shape_and_back():
    scalars = batcher(batch=0, dims=(1,), shape=())
    given = {"x": np.array([7.0], np.float32)}
    joined = scalars.join([given])["x"]
    assert joined.shape == ()
    assert scalars.split("y", joined, [given])[0].shape == (1,)


def test_ragged_inputs_are_joined_flat():
    ragged = batcher(dims=(-1,), shape=(-1,), ragged=True)
    given = [{"x": np.ones((1, 2))}, {"x": np.ones((1, 3))}]
    assert ragged.join(given)["x"].shape == (5,)


def test_batch_inputs_are_fed():
    kind = BatchInput("BATCH_ELEMENT_COUNT", ("n1", "n2"), "TYPE_FP32", "x")
    feeds = batcher(batch_inputs=(kind,)).join(requests(1, 2))
    assert feeds["n1"].tolist() == feeds["n2"].tolist() == [2.0, 4.0]
    assert feeds["n1"].dtype == np.float32


SOURCES = (np.zeros((1, 2, 3)), np.zeros((2, 5, 1)))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("BATCH_ELEMENT_COUNT", [6, 10]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", [6, 16]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 6, 16]),
        ("BATCH_ITEM_SHAPE", [[2, 3], [5, 1], [5, 1]]),
        ("BATCH_ITEM_SHAPE_FLATTEN", [2, 3, 5, 1, 5, 1]),
    ],
)
def test_batch_input_values(kind, expected):
    value = describe(BatchInput(kind, ("n",), "TYPE_INT32", "x"), SOURCES)
    assert value.tolist() == expected
    assert value.dtype == np.int32


def test_batch_input_whose_length_is_the_largest_count():
    kind = BatchInput("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", ("n",), "TYPE_INT32", "x")
    assert describe(kind, SOURCES).shape == (10,)


def test_unknown_batch_input_kind():
    with pytest.raises(RefusedError, match="unsupported BatchInputKind"):
        describe(BatchInput("BATCH_NEW", ("n",), "TYPE_INT32", "x"), SOURCES)


def test_scattered_output_takes_each_request_s_input_shape():
    scatter = batcher(dims=(-1,), shape=(-1,), ragged=True, scattered={"y": "x"})
    given = [{"x": np.ones((1, 2))}, {"x": np.ones((1, 3))}]
    parts = scatter.split("y", np.arange(5.0), given)
    assert [part.tolist() for part in parts] == [[[0.0, 1.0]], [[2.0, 3.0, 4.0]]]
    short = scatter.split("y", np.arange(4.0), given)
    assert isinstance(short[1], RefusedError)


def test_rows_of_a_request():
    assert rows({"x": np.zeros((3, 2))}) == 3
