"""The Python-based onnxruntime backend refuses, on a real Triton, what the C++ backend refuses."""

import pytest
from onnx import TensorProto, helper

from support.serving_models import (
    ONE_INSTANCE,
    config_text,
    graph_model,
    identity,
    parameter,
    tensor_text,
    two_by_two,
    value,
)
from tritongen.triton.load_reasons import code_for

MODEL = "1/model.onnx"
HEAD = 'backend: "onnxruntime"\n' + ONE_INSTANCE


def tensors(*texts: str, batch: int = 4) -> str:
    return f"{HEAD}max_batch_size: {batch}\n" + "".join(texts)


X = tensor_text("input", "x", "TYPE_FP32", [2])
Y = tensor_text("output", "y", "TYPE_FP32", [2])


def with_default_input() -> bytes:
    """y = x + w, where w is an input with a default."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    node = helper.make_node("Add", ["x", "w"], ["y"])
    shape = ["n", 2]
    inputs = [value("x", shape=shape), value("w", shape=[2])]
    return graph_model([node], inputs, [value("y", shape=shape)], [weight]).SerializeToString()


def scalar() -> bytes:
    node = helper.make_node("Neg", ["x"], ["y"])
    return graph_model([node], [value("x", shape=[])], [value("y", shape=[])]).SerializeToString()


def sequence_output() -> bytes:
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    return graph_model([node], [value("x")], [output]).SerializeToString()


def accelerator(kind: str, name: str) -> str:
    return f'optimization {{ execution_accelerators {{ {kind} : [ {{ name : "{name}" }} ] }} }}\n'


DIMS = (
    "model '{name}', tensor '{tensor}': the model expects {ours} dimensions (shape {shape}) but "
    "the model configuration specifies {theirs} dimensions (an initial batch dimension because "
    "max_batch_size > 0 followed by the explicit tensor shape, making complete shape {full})"
)
FLAT_DIMS = (
    "model '{name}', tensor '{tensor}': the model expects {ours} dimensions (shape {shape}) but "
    "the model configuration specifies {theirs} dimensions (shape {full})"
)

# (case, configuration, model, the C++ backend's words, code)
REFUSED = [
    (
        "an input is missing",
        tensors(
            tensor_text("input", "a", "TYPE_FP32", [2]),
            tensor_text("output", "sum", "TYPE_FP32", [2]),
        ),
        two_by_two(),
        "unable to load model '{name}', configuration expects 1 inputs, model provides 2",
        "TG823",
    ),
    (
        "unknown input",
        tensors(tensor_text("input", "z", "TYPE_FP32", [2]), Y),
        identity(),
        "unexpected inference input 'z', allowed inputs are: x",
        "TG823",
    ),
    (
        "unknown output",
        tensors(
            tensor_text("input", "a", "TYPE_FP32", [2]),
            tensor_text("input", "b", "TYPE_FP32", [2]),
            tensor_text("output", "z", "TYPE_FP32", [2]),
        ),
        two_by_two(),
        "unexpected inference output 'z', allowed outputs are: product, sum",
        "TG823",
    ),
    (
        "input type",
        tensors(tensor_text("input", "x", "TYPE_INT64", [2]), Y),
        identity(),
        (
            "unable to load model '{name}', configuration expects datatype TYPE_INT64 for input "
            "'x', model provides TYPE_FP32"
        ),
        "TG823",
    ),
    (
        "output type, of strings",
        tensors(
            tensor_text("input", "x", "TYPE_STRING", [2]),
            tensor_text("output", "y", "TYPE_FP32", [2]),
        ),
        identity("TYPE_STRING"),
        (
            "unable to load model '{name}', configuration expects datatype TYPE_FP32 for output "
            "'y', model provides TYPE_BYTES"
        ),
        "TG823",
    ),
    (
        "batching over a fixed first axis",
        config_text(),
        identity(shape=[1, 2]),
        (
            "model '{name}', tensor 'x': for the model to support batching the shape should have "
            "at least 1 dimension and the first dimension must be -1; but shape expected by the "
            "model is [1,2]"
        ),
        "TG823",
    ),
    (
        "input rank",
        tensors(tensor_text("input", "x", "TYPE_FP32", [2, 1]), Y),
        identity(),
        DIMS.format(name="{name}", tensor="x", ours=2, shape="[-1,2]", theirs=3, full="[-1,2,1]"),
        "TG823",
    ),
    (
        "-1 for a fixed input dim",
        tensors(tensor_text("input", "x", "TYPE_FP32", [-1]), Y),
        identity(),
        DIMS.format(name="{name}", tensor="x", ours=2, shape="[-1,2]", theirs=2, full="[-1,-1]"),
        "TG823",
    ),
    (
        "a number for a dynamic output dim",
        tensors(X, Y),
        identity(shape=["n", "m"]),
        DIMS.format(name="{name}", tensor="y", ours=2, shape="[-1,-1]", theirs=2, full="[-1,2]"),
        "TG823",
    ),
    (
        "dims without batching",
        config_text(batch=0, dims=(3, 2)),
        identity(shape=[4, 2]),
        FLAT_DIMS.format(name="{name}", tensor="x", ours=2, shape="[4,2]", theirs=2, full="[3,2]"),
        "TG823",
    ),
    (
        "the reshape is compared, not the dims",
        tensors(tensor_text("input", "x", "TYPE_FP32", [2], "reshape { shape: [ 1, 2 ] }"), Y),
        identity(),
        DIMS.format(name="{name}", tensor="x", ours=2, shape="[-1,2]", theirs=3, full="[-1,1,2]"),
        "TG823",
    ),
    (
        "dims of a scalar",
        config_text(batch=0, dims=(2,)),
        scalar(),
        (
            "unable to load model '{name}', scalar tensor 'x', should only provide 1 in the model "
            "configuration when the model doesn't support batching. Model configuration provided: "
            "[2]."
        ),
        "TG823",
    ),
    (
        "optional with batching",
        tensors(X, tensor_text("input", "w", "TYPE_FP32", [2], "optional: true"), Y),
        with_default_input(),
        (
            "unable to load model '{name}', optional input 'w' is not supported for models that "
            "support batching"
        ),
        "TG823",
    ),
    (
        "optional and ragged",
        tensors(
            tensor_text("input", "x", "TYPE_FP32", [-1, 2]),
            tensor_text("input", "w", "TYPE_FP32", [2], "optional: true allow_ragged_batch: true"),
            tensor_text("output", "y", "TYPE_FP32", [-1, 2]),
            batch=0,
        ),
        with_default_input(),
        (
            "unable to load model '{name}', configuration expects model provides input with shape "
            "[-1] for ragged input 'w', which is not supported for optional input"
        ),
        "TG823",
    ),
    (
        "ragged over more than one axis",
        tensors(tensor_text("input", "x", "TYPE_FP32", [2], "allow_ragged_batch: true"), Y),
        identity(),
        (
            "unable to load model '{name}', configuration expects model provides input with shape "
            "[-1]  for ragged input 'x', model provides [-1,2]"
        ),
        "TG823",
    ),
    (
        "non-tensor output",
        tensors(X, Y),
        sequence_output(),
        "Unsupported ONNX Type 'ONNX_TYPE_SEQUENCE' for I/O 'y', expected 'ONNX_TYPE_TENSOR'.",
        "TG110",
    ),
    (
        "execution_mode beyond 1",
        config_text(extra=parameter("execution_mode", "2")),
        identity(),
        (
            "Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 "
            "but got 2 ."
        ),
        "TG824",
    ),
    *(
        (
            f"{key}: yes",
            config_text(extra=parameter(key, "yes")),
            identity(),
            "failed to convert 'yes' to boolean",
            "TG824",
        )
        for key in ("enable_mem_arena", "enable_mem_pattern")
    ),
    *(
        (
            f"{key}: many",
            config_text(extra=parameter(key, "many")),
            identity(),
            "failed to convert 'many' to integral number",
            "TG824",
        )
        for key in ("intra_op_thread_count", "inter_op_thread_count", "execution_mode")
    ),
    (
        "unknown CPU accelerator",
        config_text(extra=accelerator("cpu_execution_accelerator", "mkldnn")),
        identity(),
        "unknown Execution Accelerator 'mkldnn' is requested",
        "TG824",
    ),
    (
        "OpenVINO without its package",
        config_text(extra=accelerator("cpu_execution_accelerator", "openvino")),
        identity(),
        (
            "Execution Accelerator 'openvino' is requested, but its execution provider is not in "
            "this onnxruntime; install onnxruntime-openvino instead of onnxruntime"
        ),
        "TG824",
    ),
    (
        "operator library that does not exist",
        config_text(extra='model_operations { op_library_filename: "/nowhere/ops.so" }\n'),
        identity(),
        (
            "onnx runtime error 1: Failed to load library /nowhere/ops.so with error: "
            "/nowhere/ops.so: cannot open shared object file: No such file or directory"
        ),
        "TG822",
    ),
]


@pytest.mark.parametrize(
    ("config", "model", "words", "code"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_refused_in_the_same_words(strict_server, config, model, words, code):
    name = strict_server.unique()
    reason = strict_server.try_model(name, config, {MODEL: model})
    assert reason == " ".join(words.format(name=name).split("\n"))
    assert code_for(reason) == code


def test_missing_model_file_is_named(strict_server):
    name = strict_server.unique()
    config = config_text(extra='default_model_filename: "other.onnx"\n')
    reason = strict_server.try_model(name, config, {MODEL: identity()})
    path = strict_server.repository / name / "1" / "other.onnx"
    assert reason == f"unable to find '{path}' for model instance '{name}'"
    assert code_for(reason) == "TG836"


@pytest.mark.parametrize(
    "content", [b"", b"garbage", identity()[:30]], ids=["empty", "garbage", "cut"]
)
def test_damaged_model_file(strict_server, content):
    name = strict_server.unique()
    reason = strict_server.try_model(name, config_text(), {MODEL: content})
    assert reason is not None
    assert reason.startswith("onnx runtime error")
    assert code_for(reason) == "TG822"


def test_completion_of_a_model_that_cannot_batch(explicit_server):
    name = explicit_server.unique()
    config = 'backend: "onnxruntime"\nmax_batch_size: 2\n'
    reason = explicit_server.try_model(name, config, {MODEL: identity(shape=[1, 2])})
    assert reason == (
        f"autofill failed for model '{name}': model does not support batching while non-zero "
        "max_batch_size is specified"
    )
    assert code_for(reason) == "TG823"


def test_refusal_leaves_the_server_and_other_models_alone(strict_server):
    bad, good = strict_server.unique("bad"), strict_server.unique("good")
    strict_server.try_model(bad, config_text(), {MODEL: b"garbage"})
    assert strict_server.try_model(good, config_text(), {MODEL: identity()}) is None
    strict_server.unload(good)
