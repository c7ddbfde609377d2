"""The Python-based onnxruntime backend serves, on a real Triton, as the C++ backend does."""

import threading
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from support.export_stack import eventually
from support.serving_models import (
    ONE_INSTANCE,
    config_text,
    graph_model,
    identity,
    tensor_text,
    two_by_two,
    value,
)
from tritongen.errors import EnvironmentProblem
from tritongen.model.samples import numpy_dtype
from tritongen.model.tensors import DType
from tritongen.triton.http_client import HttpClient

MODEL = "1/model.onnx"
HEAD = 'backend: "onnxruntime"\n' + ONE_INSTANCE


def sample(dtype: DType, rows: int) -> np.ndarray:
    if dtype is DType.BYTES:
        texts = [b"", b"a", "é".encode(), b"\0x", b"long" * 500, b"z"]
        array = np.empty(2 * rows, dtype=object)
        array[:] = [texts[i % len(texts)] for i in range(2 * rows)]
        return array.reshape(rows, 2)
    values = np.arange(2 * rows) % 2 if dtype is DType.BOOL else np.arange(2 * rows) * 3
    return values.reshape(rows, 2).astype(numpy_dtype(dtype))


@pytest.mark.parametrize("dtype", list(DType), ids=str)
def test_every_element_type_comes_back_unchanged(strict_server, load, dtype):
    name = load(config_text(dtype.config_name), identity(dtype.config_name))
    for rows in (1, 3):
        given = sample(dtype, rows)
        got = strict_server.client.infer(name, {"x": given})["y"]
        assert got.dtype == given.dtype
        assert got.tolist() == given.tolist()


def test_bfloat16_keeps_every_bit(strict_server, load):
    name = load(config_text("TYPE_BF16"), identity("TYPE_BF16"))
    bits = np.array([[0x7FC1, 0x8000], [0x0001, 0xFF80]], np.uint16)
    got = strict_server.client.infer(name, {"x": bits.view(ml_dtypes.bfloat16)})["y"]
    np.testing.assert_array_equal(got.view(np.uint16), bits)


def test_strings_that_are_not_text_are_refused_alone(strict_server, load):
    name = load(config_text("TYPE_STRING"), identity("TYPE_STRING"))
    with pytest.raises(EnvironmentProblem, match="input 'x' holds bytes that are not UTF-8"):
        strict_server.client.infer(name, {"x": np.array([[b"\xff", b"a"]], dtype=object)})
    assert strict_server.client.infer(name, {"x": sample(DType.BYTES, 1)})["y"].size == 2


def test_only_requested_outputs_are_returned(strict_server, load):
    config = HEAD + "max_batch_size: 4\n" + "".join(
        tensor_text(kind, name, "TYPE_FP32", [2])
        for kind, name in (
            ("input", "a"), ("input", "b"), ("output", "sum"), ("output", "product")
        )
    )  # fmt: skip
    name = load(config, two_by_two())
    a, b = np.array([[1, 2]], np.float32), np.array([[3, 4]], np.float32)
    got = strict_server.client.infer(name, {"a": a, "b": b}, outputs=["product"])
    assert list(got) == ["product"]
    assert got["product"].tolist() == [[3.0, 8.0]]
    assert set(strict_server.client.infer(name, {"b": b, "a": a})) == {"sum", "product"}


def test_an_output_left_out_of_the_configuration_is_not_served(strict_server, load):
    config = (
        HEAD
        + "max_batch_size: 4\n"
        + "".join(
            tensor_text(kind, name, "TYPE_FP32", [2])
            for kind, name in (("input", "a"), ("input", "b"), ("output", "sum"))
        )
    )
    name = load(config, two_by_two())
    a = np.ones((1, 2), np.float32)
    assert set(strict_server.client.infer(name, {"a": a, "b": a})) == {"sum"}


def test_requests_are_batched_and_answered_each_its_own(strict_server, load):
    delay = "dynamic_batching { max_queue_delay_microseconds: 100000 }\n"
    name = load(config_text(batch=8, extra=delay), identity())
    address = strict_server.server.endpoints.http
    barrier = threading.Barrier(6)

    def ask(number):
        rows = number % 3 + 1
        given = np.full((rows, 2), number, np.float32)
        with HttpClient(address) as client:
            barrier.wait()
            for _ in range(5):
                np.testing.assert_array_equal(client.infer(name, {"x": given})["y"], given)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))

    def counted():  # Triton counts a request a moment after it was answered
        (stats,) = strict_server.client.statistics(name)
        return stats if stats["inference_count"] == 5 * (1 + 2 + 3) * 2 else None

    stats = eventually(counted, seconds=10)
    assert stats["execution_count"] < 30
    assert max(batch["batch_size"] for batch in stats["batch_stats"]) > 3


def test_a_failing_run_is_an_error_with_the_runtime_s_words(strict_server, load):
    data = helper.make_tensor("data", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    node = helper.make_node("Gather", ["data", "x"], ["y"])
    model = graph_model(
        [node], [value("x", "TYPE_INT64", ["n"])], [value("y", shape=["n"])], [data]
    )
    config = HEAD + "max_batch_size: 0\n" + tensor_text("input", "x", "TYPE_INT64", [-1])
    name = load(config + tensor_text("output", "y", "TYPE_FP32", [-1]), model.SerializeToString())
    with pytest.raises(EnvironmentProblem, match=r"onnx runtime error \d: .*indices"):
        strict_server.client.infer(name, {"x": np.array([7], np.int64)})
    got = strict_server.client.infer(name, {"x": np.array([2, 0], np.int64)})["y"]
    assert got.tolist() == [3.0, 1.0]


def test_an_output_whose_rows_are_not_the_batch_fails(strict_server, load):
    # y = the first row of x; its number of rows is not known before the run.
    first = [
        helper.make_tensor(name, TensorProto.INT64, [1], [row])
        for name, row in (("s", 0), ("e", 1))
    ]
    node = helper.make_node("Slice", ["x", "s", "e"], ["y"])
    model = graph_model([node], [value("x")], [value("y", shape=["m", 2])], first)
    config = HEAD + "max_batch_size: 4\n" + tensor_text("input", "x", "TYPE_FP32", [2])
    name = load(config + tensor_text("output", "y", "TYPE_FP32", [2]), model.SerializeToString())
    with pytest.raises(EnvironmentProblem) as caught:
        strict_server.client.infer(name, {"x": np.ones((2, 2), np.float32)})
    assert caught.value.what == (
        "failed to split the output tensor 'y' in responses: expected batch size of at least 2 in "
        "model output, got 1"
    )


def test_scalars_are_served_as_one_element(strict_server, load):
    node = helper.make_node("Neg", ["x"], ["y"])
    model = graph_model([node], [value("x", shape=[])], [value("y", shape=[])])
    name = load(config_text(batch=0, dims=[1]), model.SerializeToString())
    got = strict_server.client.infer(name, {"x": np.array([2.5], np.float32)})["y"]
    assert got.tolist() == [-2.5]


def test_a_batch_of_scalars_with_an_empty_reshape(strict_server, load):
    reshape = "reshape { shape: [ ] }"
    config = (
        HEAD
        + "max_batch_size: 4\n"
        + tensor_text("input", "x", "TYPE_FP32", [1], reshape)
        + tensor_text("output", "y", "TYPE_FP32", [1], reshape)
    )
    name = load(config, identity(shape=["n"]))
    given = np.array([[1], [2], [3]], np.float32)
    assert strict_server.client.infer(name, {"x": given})["y"].tolist() == given.tolist()


def test_reshape_changes_the_shape_on_the_way(strict_server, load):
    config = (
        HEAD
        + "max_batch_size: 4\n"
        + tensor_text("input", "x", "TYPE_FP32", [6], "reshape { shape: [ 2, 3 ] }")
        + tensor_text("output", "y", "TYPE_FP32", [3, 2], "reshape { shape: [ 2, 3 ] }")
    )
    name = load(config, identity(shape=["n", 2, 3]))
    given = np.arange(12, dtype=np.float32).reshape(2, 6)
    got = strict_server.client.infer(name, {"x": given})["y"]
    assert got.shape == (2, 3, 2)
    assert got.ravel().tolist() == given.ravel().tolist()


def test_an_optional_input_has_the_model_s_default(strict_server, load):
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [10.0, 20.0])
    node = helper.make_node("Add", ["x", "w"], ["y"])
    model = graph_model([node], [value("x"), value("w", shape=[2])], [value("y")], [weight])
    config = (
        HEAD
        + "max_batch_size: 0\n"
        + tensor_text("input", "x", "TYPE_FP32", [-1, 2])
        + tensor_text("input", "w", "TYPE_FP32", [2], "optional: true")
        + tensor_text("output", "y", "TYPE_FP32", [-1, 2])
    )
    name = load(config, model.SerializeToString())
    x = np.ones((1, 2), np.float32)
    assert strict_server.client.infer(name, {"x": x})["y"].tolist() == [[11.0, 21.0]]
    given = {"x": x, "w": np.array([1, 1], np.float32)}
    assert strict_server.client.infer(name, given)["y"].tolist() == [[2.0, 2.0]]


def test_ragged_requests_are_joined_with_their_counts(strict_server, load):
    # y repeats, for each request, the number of its elements: one row a request.
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=1),
        helper.make_node("Mul", ["total", "zero"], ["nothing"]),
        helper.make_node("Add", ["counts", "nothing"], ["y"]),
    ]
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    inputs = [value("x", shape=["e"]), value("counts", shape=["n"])]
    model = graph_model(nodes, inputs, [value("y", shape=["n"])], [zero])
    config = (
        HEAD
        + "max_batch_size: 4\n"
        + tensor_text("input", "x", "TYPE_FP32", [-1], "allow_ragged_batch: true")
        + tensor_text("output", "y", "TYPE_FP32", [1], "reshape { shape: [ ] }")
        + "batch_input { kind: BATCH_ELEMENT_COUNT target_name: 'counts' data_type: TYPE_FP32 "
        + "source_input: 'x' }\n"
        + "dynamic_batching { max_queue_delay_microseconds: 200000 }\n"
    )
    name = load(config, model.SerializeToString())
    address = strict_server.server.endpoints.http

    def ask(size):
        with HttpClient(address) as client:
            return client.infer(name, {"x": np.ones((1, size), np.float32)})["y"].tolist()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(ask, (2, 5, 9))) == [[[2.0]], [[5.0]], [[9.0]]]
    (stats,) = strict_server.client.statistics(name)
    assert stats["execution_count"] < 3


def test_scattered_output_gives_each_request_its_own_shape(strict_server, load):
    config = (
        HEAD
        + "max_batch_size: 4\n"
        + tensor_text("input", "x", "TYPE_FP32", [-1], "allow_ragged_batch: true")
        + tensor_text("output", "y", "TYPE_FP32", [-1])
        + "batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: 'y' "
        + "source_input: 'x' }\n"
        + "dynamic_batching { max_queue_delay_microseconds: 200000 }\n"
    )
    name = load(config, identity(shape=["e"]))
    address = strict_server.server.endpoints.http

    def ask(size):
        given = np.arange(size, dtype=np.float32).reshape(1, size)
        with HttpClient(address) as client:
            return client.infer(name, {"x": given})["y"].tolist() == given.tolist()

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(ask, (2, 5, 9)))


def test_sequence_controls_reach_the_model(strict_server, load):
    # y = x where the sequence goes on, and 0 where it starts.
    nodes = [
        helper.make_node("Cast", ["start"], ["flag"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "flag"], ["keep"]),
        helper.make_node("Mul", ["x", "keep"], ["y"]),
    ]
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    inputs = [value("x", shape=["n", 1]), value("start", "TYPE_INT32", ["n", 1])]
    model = graph_model(nodes, inputs, [value("y", shape=["n", 1])], [one])
    config = (
        HEAD
        + "max_batch_size: 2\n"
        + tensor_text("input", "x", "TYPE_FP32", [1])
        + tensor_text("output", "y", "TYPE_FP32", [1])
        + "sequence_batching { control_input { name: 'start' control { kind: "
        + "CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } } }\n"
    )
    name = load(config, model.SerializeToString())
    import tritonclient.grpc as grpcclient

    client = grpcclient.InferenceServerClient(strict_server.server.endpoints.grpc)
    tensor = grpcclient.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[5]], np.float32))
    answers = [
        client.infer(
            name, [tensor], sequence_id=7, sequence_start=step == 0, sequence_end=step == 2
        ).as_numpy("y")[0, 0]
        for step in range(3)
    ]
    client.close()
    assert answers == [0.0, 5.0, 5.0]


def test_external_data_in_a_model_folder(strict_server, load, tmp_path):
    weight = onnx.numpy_helper.from_array(np.array([3, 4], np.float32), "w")
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    model = graph_model([node], [value("x")], [value("y")], [weight])
    onnx.save_model(
        model,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="model.data",
        size_threshold=0,
    )
    name = strict_server.unique()
    files = {
        f"1/model.onnx/{file}": (tmp_path / file).read_bytes()
        for file in ("model.onnx", "model.data")
    }
    assert strict_server.try_model(name, config_text(), files) is None
    got = strict_server.client.infer(name, {"x": np.ones((1, 2), np.float32)})["y"]
    assert got.tolist() == [[3.0, 4.0]]
    strict_server.unload(name)


def test_several_versions(strict_server, load):
    config = config_text(extra="version_policy { all { } }\n")
    negative = graph_model(
        [helper.make_node("Neg", ["x"], ["y"])], [value("x")], [value("y")]
    ).SerializeToString()
    name = load(config, identity(), {"3/model.onnx": negative})
    x = np.ones((1, 2), np.float32)
    assert strict_server.client.infer(name, {"x": x}, version="1")["y"].tolist() == [[1.0, 1.0]]
    assert strict_server.client.infer(name, {"x": x}, version="3")["y"].tolist() == [[-1.0, -1.0]]
    assert strict_server.client.infer(name, {"x": x})["y"].tolist() == [[-1.0, -1.0]]


def test_warm_up_runs_before_the_model_is_ready(strict_server, load):
    warmup = "".join(
        f"model_warmup {{ name: 'w{batch}' batch_size: {batch} inputs {{ key: 'x' value {{ "
        f"data_type: TYPE_FP32 dims: [ 2 ] zero_data: true }} }} }}\n"
        for batch in (1, 4)
    )
    name = load(config_text(extra=warmup), identity())
    assert strict_server.client.model_ready(name)


def test_a_request_of_no_rows_is_refused_by_the_server_itself(strict_server, load):
    name = load(config_text(), identity())
    with pytest.raises(EnvironmentProblem, match="input byte size mismatch"):
        strict_server.client.infer(name, {"x": np.empty((0, 2), np.float32)})
    x = np.ones((1, 2), np.float32)
    assert strict_server.client.infer(name, {"x": x})["y"].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("dtype", ["TYPE_FP32", "TYPE_STRING"])
def test_rows_without_elements_come_back_empty(strict_server, load, dtype):
    name = load(config_text(dtype, dims=[-1, 3]), identity(dtype, shape=["n", "m", 3]))
    empty = np.empty((2, 0, 3), object if dtype == "TYPE_STRING" else np.float32)
    assert strict_server.client.infer(name, {"x": empty})["y"].shape == (2, 0, 3)
