"""What every response must say, and the words of a request."""

import json

import pytest

from tritongen.triton.messages import (
    ExpectedResponse,
    SharedRegion,
    TensorMeta,
    WireTensor,
    model_meta,
    request_json,
)

WANTED = ExpectedResponse(
    "m", {"a": TensorMeta("a", "FP32", (-1, 4)), "b": TensorMeta("b", "INT64", ())}, 2
)
A, B = TensorMeta("a", "FP32", (2, 4)), TensorMeta("b", "INT64", ())


@pytest.mark.parametrize(
    ("model", "found", "fault"),
    [
        ("m", [A, B], ""),
        ("m", [B, A], ""),
        ("n", [A, B], "the response is of model 'n', not 'm'"),
        ("m", [A], "outputs a instead of a, b"),
        ("m", [], "outputs none instead of a, b"),
        ("m", [A, A, B], "outputs a, a, b instead of a, b"),
        ("m", [TensorMeta("a", "FP16", (2, 4)), B], "output a is FP16, not FP32"),
        ("m", [TensorMeta("a", "FP32", (2, 5)), B], "output a has shape [2, 5], not [-1, 4]"),
        ("m", [TensorMeta("a", "FP32", (2,)), B], "output a has shape [2], not [-1, 4]"),
        ("m", [TensorMeta("a", "FP32", (-1, 4)), B], "output a has -1 rows, not 2"),
        ("m", [TensorMeta("a", "FP32", (3, 4)), B], "output a has 3 rows, not 2"),
    ],
)
def test_a_response_that_is_not_as_expected(model, found, fault):
    assert WANTED.fault(model, found) == fault


def test_without_a_batch_axis_rows_are_sizes_as_others():
    free = ExpectedResponse("m", {"a": TensorMeta("a", "FP32", (-1, 4))}, None)
    assert free.fault("m", [TensorMeta("a", "FP32", (0, 4))]) == ""


def test_a_request_names_data_or_regions():
    region = SharedRegion("r", 8, 16)
    inputs = [WireTensor("x", "FP32", (1,), b"1234"), WireTensor("y", "FP32", (4,), region)]
    content = json.loads(request_json(inputs, [("a", None), ("b", region)], {"k": 1}))
    assert content["parameters"] == {"k": 1}
    assert [one["parameters"] for one in content["inputs"]] == [
        {"binary_data_size": 4},
        {"shared_memory_region": "r", "shared_memory_offset": 8, "shared_memory_byte_size": 16},
    ]
    assert content["outputs"][0]["parameters"] == {"binary_data": True}
    assert content["outputs"][1]["parameters"]["shared_memory_region"] == "r"
    assert set(json.loads(request_json(inputs, [], {}))) == {"inputs"}


def test_metadata_has_versions_that_are_numbers():
    found = model_meta({"name": "m", "versions": [1], "inputs": None})
    assert (found.versions, found.inputs, found.platform) == (("1",), (), "")
    for versions in (["x"], ["1", "²"], [""]):
        with pytest.raises(ValueError, match=r"."):
            model_meta({"name": "m", "versions": versions})
    with pytest.raises(KeyError):
        model_meta({})
