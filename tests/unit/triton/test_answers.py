"""What is read from a server's answers to an inference, and whose its figures are."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tritongen.triton import metrics
from tritongen.triton.address import Endpoint
from tritongen.triton.http_client import _infer_response
from tritongen.triton.server import RuntimeName, own_implementation


def output(name: str, datatype: str, shape: list[int], **rest: object) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape, **rest}


def test_binary_outputs_follow_each_other_and_others_are_json():
    first, second = np.array([[1.5, 2.5]], np.float32), np.array([7, 8, 9], np.int64)
    header = json.dumps(
        {
            "outputs": [
                output("a", "FP32", [1, 2], parameters={"binary_data_size": 8}),
                output("text", "BYTES", [2], data=["x", "y"]),
                output("j", "INT32", [2, 1], data=[4, 5]),
                output("b", "INT64", [3], parameters={"binary_data_size": 24}),
            ]
        }
    ).encode()
    body = memoryview(header + first.tobytes() + second.tobytes())
    found = _infer_response(body, len(header))
    assert found["a"].tolist() == [[1.5, 2.5]]
    assert found["b"].tolist() == [7, 8, 9]
    assert found["j"].tolist() == [[4], [5]]
    assert found["text"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("runtime", "backends", "own"),
    [
        (RuntimeName.EMBEDDED, ["onnxruntime", "python"], "onnxruntime"),
        (RuntimeName.EMBEDDED, ["python"], ""),
        (RuntimeName.DOCKER, ["onnxruntime"], ""),
        (RuntimeName.ATTACHED, ["onnxruntime"], ""),
        (RuntimeName.EMBEDDED, [], ""),
    ],
)
def test_whose_implementation_a_figure_is_of(runtime, backends, own):
    found = own_implementation(runtime, backends)
    assert (f"backend for {own}," in found) if own else found == ""


@pytest.mark.parametrize(("status", "there"), [(200, True), (404, False), (500, False)])
def test_a_page_of_metrics_is_one_that_was_found(monkeypatch, status, there):
    text = b"nv_cpu_memory_used_bytes 5\n"

    class Channel:
        def __init__(self, *_: object) -> None:
            """Asks nobody."""

        def ask(self, *_: object, **_more: object) -> SimpleNamespace:
            return SimpleNamespace(status=status, content=text)

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr(metrics, "HttpChannel", Channel)
    assert metrics.metrics_page(Endpoint("h", 1), 1.0) == (text.decode() if there else None)
    assert metrics.Metrics(Endpoint("h", 1)).use().memory_bytes == (5 if there else None)
