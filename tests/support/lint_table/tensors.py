"""Cases: inputs and outputs."""

from support.lint_cases import FILES, Case, flat, plus, swap

_INPUT = 'input [ { name: "IN" data_type: TYPE_FP32 dims: [ 4 ] } ]'
_OUTPUT = 'output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] } ]'


def of_input(body: str) -> str:
    """The base configuration with another input."""
    return swap(_INPUT, f"input [ {{ {body} }} ]")


def of_output(body: str) -> str:
    """The base configuration with another output."""
    return swap(_OUTPUT, f"output [ {{ {body} }} ]")


TENSORS: tuple[Case, ...] = (
    Case(
        "unnamed_input",
        of_input("data_type: TYPE_FP32 dims: [ 4 ]"),
        ("TG424",),
        "must specify 'name'",
        (24,),
    ),
    Case(
        "untyped_input",
        of_input('name: "IN" dims: [ 4 ]'),
        ("TG424",),
        "must specify 'data_type'",
        (24,),
    ),
    Case(
        "input_without_dims",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ ]'),
        ("TG424",),
        "must specify 'dims'",
        (24,),
    ),
    Case(
        "output_without_dims",
        of_output('name: "OUT" data_type: TYPE_FP32'),
        ("TG424",),
        "model output 'OUT' must specify 'dims'",
        (24,),
    ),
    Case(
        "dim_zero",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ 0 ]'),
        ("TG425",),
        "dimension must be integer >= 1, or -1",
        (25,),
    ),
    Case(
        "dim_minus_two",
        of_output('name: "OUT" data_type: TYPE_FP32 dims: [ -2 ]'),
        ("TG425",),
        "dimension must be integer >= 1, or -1",
        (25,),
    ),
    Case(
        "reshape_zero",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 0 ] }'),
        ("TG426",),
        "reshape dimensions must be integer >= 1, or -1",
        (26,),
    ),
    Case(
        "reshape_dynamic",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ -1 ] reshape { shape: [ -1, 1 ] }'),
        rules=(26, 29),
    ),
    Case(
        "empty_reshape",
        flat(of_input('name: "IN" data_type: TYPE_FP32 dims: [ 1 ] reshape { }')),
        ("TG427",),
        "cannot have empty reshape for non-batching model",
        (27,),
    ),
    Case(
        "empty_reshape_batching",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] }'),
        rules=(27, 28),
    ),
    Case(
        "reshape_size",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ 4 ] reshape { shape: [ 3 ] }'),
        ("TG428",),
        "has different size for dims and reshape",
        (28,),
    ),
    Case(
        "reshape_fixes_dynamic",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ -1 ] reshape { shape: [ 4 ] }'),
        ("TG428",),
        "has different size for dims and reshape",
        (28,),
    ),
    Case(
        "reshape_count_of_dynamic",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ -1, -1 ] reshape { shape: [ -1 ] }'),
        ("TG429",),
        "has different number of variable-size dimensions for dims and reshape",
        (29,),
    ),
    Case(
        "reshape_moves_dynamic",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ 4, -1 ] }'),
        ("TG429",),
        "has different size for dims and reshape",
        (29,),
    ),
    Case(
        "reshape_chunks",
        of_input(
            'name: "IN" data_type: TYPE_FP32 dims: [ 2, 4, -1, 6 ] '
            "reshape { shape: [ 8, -1, 1, 6 ] }"
        ),
        rules=(29,),
    ),
    Case(
        "image_format",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ 4 ] format: FORMAT_NCHW'),
        ("TG430",),
        "NHWC/NCHW require 3 dims",
        (30,),
    ),
    Case(
        "shape_tensor",
        of_input('name: "IN" data_type: TYPE_FP32 dims: [ 4 ] is_shape_tensor: true'),
        ("TG431",),
        "shape tensors are only supported for TensorRT platform",
        (31,),
    ),
    Case(
        "non_linear",
        of_output('name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] is_non_linear_format_io: true'),
        ("TG431",),
        "Non-linear IO format is only supported for the TensorRT platform",
        (31,),
    ),
    Case(
        "repeated_name",
        swap(_INPUT, _INPUT + "\n" + _INPUT),
        ("TG604",),
        rules=(32,),
    ),
    Case("shared_name", swap('"OUT"', '"IN"'), ("TG605",), rules=(32,)),
    Case("no_tensors", 'backend: "python"\nmax_batch_size: 0\n', ("TG606",), rules=(32,)),
    Case(
        "label_missing",
        of_output('name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "nolabels.txt"'),
        ("TG437",),
        "failed to open text file for read",
        (37,),
    ),
    Case(
        "label_present",
        of_output('name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] label_filename: "labels.txt"'),
        rules=(37,),
        files={**FILES, "labels.txt": b"a\nb\n"},
    ),
    Case(
        "batch_input_type",
        plus(
            'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "N" data_type: TYPE_INT64 '
            'source_input: "IN" }'
        ),
        ("TG433",),
        "batch input data type must be TYPE_INT32 or TYPE_FP32",
        (33,),
    ),
    Case(
        "batch_input_sources",
        plus('batch_input { kind: BATCH_ELEMENT_COUNT target_name: "N" data_type: TYPE_INT32 }'),
        ("TG433",),
        "expects 1 source input, got 0",
        (33,),
    ),
    Case(
        "batch_input_unknown",
        plus(
            'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "N" data_type: TYPE_INT32 '
            'source_input: "X" }'
        ),
        ("TG433",),
        "unknown source input name 'X'",
        (33,),
    ),
    Case(
        "batch_output_target",
        plus('batch_output { target_name: "X" source_input: "IN" }'),
        ("TG433",),
        "unknown target output name 'X'",
        (33,),
    ),
    Case(
        "batch_output_twice",
        plus('batch_output { target_name: [ "OUT", "OUT" ] source_input: "IN" }'),
        ("TG433",),
        "target output name 'OUT' can only be specified once",
        (33,),
    ),
    Case("bf16_for_python", of_input('name: "IN" data_type: TYPE_BF16 dims: [ 4 ]'), ("TG617",)),
    Case("text_for_python", of_input('name: "IN" data_type: TYPE_STRING dims: [ 4 ]'), ("TG617",)),
)
