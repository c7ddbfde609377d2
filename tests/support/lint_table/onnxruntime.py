"""Cases: the onnxruntime backend compares the configuration with the model."""

from onnx import TensorProto, helper

from support.lint_cases import Case
from support.recurrent import cell
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

HEAD = f'backend: "onnxruntime"\n{ONE_INSTANCE}'
X = tensor_text("input", "x", "TYPE_FP32", [2])
Y = tensor_text("output", "y", "TYPE_FP32", [2])
A = tensor_text("input", "a", "TYPE_FP32", [2])
B = tensor_text("input", "b", "TYPE_FP32", [2])
SUM = tensor_text("output", "sum", "TYPE_FP32", [2])


RECURRENT = (
    HEAD
    + "max_batch_size: 4\n"
    + tensor_text("input", "x", "TYPE_FP32", [3])
    + tensor_text("output", "y", "TYPE_FP32", [1])
    + 'sequence_batching { state { input_name: "h" output_name: "h_out" data_type: TYPE_FP32 '
    "dims: [ 4 ] } }\n"
)
WARMED_UP = (
    'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 '
    "dims: [ 3 ] zero_data: true } } }\n"
)


def tensors(*texts: str, batch: int = 4) -> str:
    """A configuration of these tensors."""
    return f"{HEAD}max_batch_size: {batch}\n" + "".join(texts)


def shrunk(arena: str) -> str:
    """Parameters by which runs shrink an arena that is on or off, and a first run."""
    given = parameter("enable_mem_arena", arena)
    given += parameter("memory.enable_memory_arena_shrinkage", "cpu:0")
    return given + WARMED_UP.replace("dims: [ 3 ]", "dims: [ 2 ]")


def scalar() -> bytes:
    """y = -x of one number."""
    node = helper.make_node("Neg", ["x"], ["y"])
    return graph_model([node], [value("x", shape=[])], [value("y", shape=[])]).SerializeToString()


def sequence_output() -> bytes:
    """y is a sequence."""
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    return graph_model([node], [value("x")], [output]).SerializeToString()


def with_default_input() -> bytes:
    """y = x + w, where w is an input with a default."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    node = helper.make_node("Add", ["x", "w"], ["y"])
    inputs = [value("x", shape=["n", 2]), value("w", shape=[2])]
    outputs = [value("y", shape=["n", 2])]
    return graph_model([node], inputs, outputs, [weight]).SerializeToString()


def accelerator(kind: str, name: str) -> str:
    """An execution accelerator."""
    return f'optimization {{ execution_accelerators {{ {kind} : [ {{ name : "{name}" }} ] }} }}\n'


def onnx(
    name: str,
    config: str,
    model: bytes | None = None,
    codes: tuple[str, ...] = (),
    words: str = "",
    rules: tuple[int, ...] = (),
) -> Case:
    """A case with one ONNX file, `identity` when none is given."""
    data = identity() if model is None else model
    return Case(name, config, codes, words, rules, files={"1/model.onnx": data})


def stated(key: str, text: str) -> str:
    """The configuration of `identity` with one parameter."""
    return config_text(extra=parameter(key, text))


GPU_ONLY = accelerator("gpu_execution_accelerator", "tensorrt")
LEVEL_2 = "optimization { graph { level: 2 } }\n"
DYNAMIC_Y = tensor_text("output", "y", "TYPE_FP32", [-1])
OPTIONAL = tensor_text("input", "w", "TYPE_FP32", [2], "optional: true")
RAGGED = tensor_text("input", "x", "TYPE_FP32", [2], "allow_ragged_batch: true")
RESHAPED = tensor_text("input", "x", "TYPE_FP32", [2], "reshape { shape: [ 1, 2 ] }")

ONNXRUNTIME: tuple[Case, ...] = (
    onnx("ort_fine", config_text(), codes=("TG532",)),
    onnx("ort_limited", stated("intra_op_thread_count", "1")),
    onnx("ort_python_runtime", stated("intra_op_thread_count", "1") + 'runtime: "model.py"\n'),
    onnx("ort_completed", HEAD, codes=("TG644",)),
    onnx("ort_outputs_may_be_left_out", tensors(A, B, SUM), two_by_two()),
    onnx("ort_input_missing", tensors(A, SUM), two_by_two(), ("TG506",), "expects 1 inputs"),
    onnx(
        "ort_unknown_input",
        tensors(tensor_text("input", "z", "TYPE_FP32", [2]), Y),
        codes=("TG507",),
        words="unexpected inference input 'z', allowed inputs are: x",
    ),
    onnx(
        "ort_unknown_output",
        tensors(A, B, tensor_text("output", "z", "TYPE_FP32", [2])),
        two_by_two(),
        ("TG507",),
        "unexpected inference output 'z', allowed outputs are: product, sum",
    ),
    onnx(
        "ort_type",
        tensors(tensor_text("input", "x", "TYPE_INT64", [2]), Y),
        codes=("TG508",),
        words="configuration expects datatype TYPE_INT64 for input 'x', model provides TYPE_FP32",
    ),
    onnx(
        "ort_fixed_batch",
        config_text(),
        identity(shape=[1, 2]),
        ("TG509",),
        "for the model to support batching the shape should have at least 1 dimension",
    ),
    onnx(
        "ort_completed_fixed_batch",
        f"{HEAD}max_batch_size: 2\n",
        identity(shape=[1, 2]),
        ("TG509",),
        "model does not support batching while non-zero max_batch_size is specified",
    ),
    onnx(
        "ort_rank",
        tensors(tensor_text("input", "x", "TYPE_FP32", [2, 1]), Y),
        codes=("TG510",),
        words="the model expects 2 dimensions (shape [-1,2])",
    ),
    onnx(
        "ort_dynamic_for_fixed",
        tensors(tensor_text("input", "x", "TYPE_FP32", [-1]), Y),
        codes=("TG510",),
        words="the model expects 2 dimensions (shape [-1,2])",
    ),
    onnx(
        "ort_fixed_for_dynamic_input",
        tensors(X, DYNAMIC_Y),
        identity(shape=["n", "m"]),
    ),
    onnx(
        "ort_fixed_for_dynamic_output",
        tensors(X, Y),
        identity(shape=["n", "m"]),
        ("TG510",),
        "the model expects 2 dimensions (shape [-1,-1])",
    ),
    onnx(
        "ort_flat_dims",
        config_text(batch=0, dims=(3, 2)),
        identity(shape=[4, 2]),
        ("TG510",),
        "the model expects 2 dimensions (shape [4,2])",
    ),
    onnx(
        "ort_reshape",
        tensors(RESHAPED, Y),
        codes=("TG510",),
        words="making complete shape [-1,1,2]",
    ),
    onnx("ort_scalar", config_text(batch=0, dims=(1,)), scalar()),
    onnx(
        "ort_scalar_dims",
        config_text(batch=0, dims=(2,)),
        scalar(),
        ("TG511",),
        "scalar tensor 'x', should only provide 1 in the model",
    ),
    onnx(
        "ort_optional_batching",
        tensors(X, OPTIONAL, Y),
        with_default_input(),
        ("TG512",),
        "optional input 'w' is not supported for models that support batching",
    ),
    onnx(
        "ort_ragged",
        tensors(RAGGED, Y),
        codes=("TG513",),
        words="for ragged input 'x', model provides [-1,2]",
    ),
    onnx(
        "ort_sequence",
        tensors(X, Y),
        sequence_output(),
        ("TG110",),
        "Unsupported ONNX Type 'ONNX_TYPE_SEQUENCE' for I/O 'y'",
    ),
    onnx(
        "ort_mode",
        stated("execution_mode", "2"),
        codes=("TG501",),
        words="Expected values for  execution_mode are 0 or 1",
    ),
    onnx("ort_arena_shrunk", tensors(X, Y) + shrunk("1")),
    onnx(
        "ort_arena_off_and_shrunk",
        tensors(X, Y) + shrunk("0"),
        codes=("TG526",),
        words="Did not find an arena based allocator registered for device-id",
    ),
    onnx(
        "ort_bool",
        stated("enable_mem_arena", "yes"),
        codes=("TG501",),
        words="failed to convert 'yes' to boolean",
    ),
    onnx(
        "ort_integer",
        stated("intra_op_thread_count", "many"),
        codes=("TG501",),
        words="failed to convert 'many' to integral number",
    ),
    onnx(
        "ort_trailing_text",
        stated("intra_op_thread_count", "1abc"),
        codes=("TG628",),
    ),
    onnx(
        "ort_negative_threads",
        stated("intra_op_thread_count", "-1"),
        codes=("TG501",),
    ),
    onnx("ort_states", RECURRENT, cell()),
    onnx(
        "ort_state_of_no_output",
        RECURRENT.replace('"h_out"', '"absent"'),
        cell(),
        ("TG514",),
        "unexpected inference output 'absent'",
    ),
    onnx(
        "ort_state_of_no_input",
        RECURRENT.replace('"h"', '"absent"'),
        cell(),
        ("TG514",),
        "unexpected inference input 'absent'",
    ),
    onnx(
        "ort_states_warmed_up",
        RECURRENT + WARMED_UP,
        cell(),
        ("TG524",),
        "failed to run warmup sample",
        (40,),
    ),
    onnx("ort_unknown_key", stated("intra_op_threads", "1"), codes=("TG610",)),
    onnx(
        "ort_inter_without_mode",
        stated("inter_op_thread_count", "2"),
        codes=("TG534",),
    ),
    onnx(
        "ort_graph_level",
        config_text(extra=LEVEL_2),
        codes=("TG625",),
    ),
    onnx(
        "ort_gpu_accelerator_on_cpu",
        config_text(extra=GPU_ONLY),
        codes=("TG623",),
    ),
    onnx(
        "ort_accelerator",
        config_text(extra=accelerator("cpu_execution_accelerator", "mkldnn")),
        codes=("TG515",),
        words="unknown Execution Accelerator 'mkldnn' is requested",
    ),
)
