"""Cases: versions, files, and what Triton accepts in silence."""

from support.lint import BASE, PYTHON_MODEL
from support.lint_cases import FILES, Case, plus
from support.onnx_models import relu

RELU = relu().SerializeToString()
ONNX = """backend: "onnxruntime"
max_batch_size: 0
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""

LAYOUT: tuple[Case, ...] = (
    Case(
        "latest_none",
        plus("version_policy { latest { num_versions: 0 } }"),
        ("TG452",),
        "at least one version must be available under the version policy of model 'latest_none'",
    ),
    Case(
        "specific_missing",
        plus("version_policy { specific { versions: [ 7 ] } }"),
        ("TG452",),
        "the version policy of model 'specific_missing'",
    ),
    Case("specific_partly", plus("version_policy { specific { versions: [ 1, 7 ] } }"), ("TG620",)),
    Case(
        "empty_policy",
        plus("version_policy { }"),
        files={"1/model.py": PYTHON_MODEL, "2/model.py": PYTHON_MODEL},
    ),
    Case(
        "no_version",
        BASE,
        ("TG452",),
        "the version policy of model 'no_version'",
        files={"model.py": PYTHON_MODEL},
    ),
    Case(
        "letter_version",
        BASE,
        ("TG452",),
        "the version policy of model 'letter_version'",
        files={"v1/model.py": PYTHON_MODEL},
    ),
    Case(
        "leading_zero",
        BASE,
        ("TG452",),
        "the version policy of model 'leading_zero'",
        files={"01/model.py": PYTHON_MODEL},
    ),
    Case(
        "leading_zero_beside",
        BASE,
        ("TG619",),
        files={"1/model.py": PYTHON_MODEL, "01/model.py": PYTHON_MODEL},
    ),
    Case("version_zero", BASE, files={"0/model.py": PYTHON_MODEL}),
    Case("number_and_letter", ONNX, ("TG453",), "unable to find", files={"2x/model.onnx": RELU}),
    Case(
        "number_and_letter_beside",
        BASE,
        ("TG618",),
        files={"1/model.py": PYTHON_MODEL, "1x/model.py": PYTHON_MODEL},
    ),
    Case("exponent", ONNX, ("TG453",), "unable to find", files={"1e3/model.onnx": RELU}),
    Case("negative", ONNX, ("TG453",), "unable to find", files={"-3/model.onnx": RELU}),
    Case("negative_beside", ONNX, files={"-3/model.onnx": RELU, "1/model.onnx": RELU}),
    Case("greatest_version", BASE, files={f"{2**63 - 1}/model.py": PYTHON_MODEL}),
    Case(
        "version_beyond_64_bits",
        BASE,
        ("TG469",),
        "killed by SIGABRT",
        files={f"{2**63}/model.py": PYTHON_MODEL},
        ends=True,
    ),
    Case(
        "long_version_beside",
        BASE,
        ("TG469",),
        "killed by SIGABRT",
        files={**FILES, f"{'9' * 30}/model.py": PYTHON_MODEL},
        ends=True,
    ),
    Case("file_missing", ONNX, ("TG454",), "unable to find", files={"1/other.onnx": RELU}),
    Case("file_present", ONNX, files={"1/model.onnx": RELU}),
    Case(
        "named_file_missing",
        plus('default_model_filename: "net.onnx"', ONNX),
        ("TG454",),
        "unable to find",
        files={"1/model.onnx": RELU},
    ),
    Case(
        "reserved", BASE, files={**FILES, "warmup/a": b"", "initial_state/b": b"", "configs/c": b""}
    ),
    Case(
        "custom_file_name",
        plus('default_model_filename: "serve.py"'),
        files={"1/serve.py": PYTHON_MODEL},
    ),
)

SILENT: tuple[Case, ...] = (
    Case(
        "parameter_twice",
        plus(
            'parameters { key: "a" value { string_value: "1" } } '
            'parameters { key: "a" value { string_value: "2" } }'
        ),
        ("TG601",),
    ),
    Case("not_utf8", plus(r'metric_tags { key: "a" value: "\xff" }'), ("TG602",)),
    Case("operators", plus('model_operations { op_library_filename: "x.so" }'), ("TG614",)),
    Case("free_parameter", plus('parameters { key: "anything" value { string_value: "1" } }')),
    Case(
        "environment_missing",
        plus(
            'parameters { key: "EXECUTION_ENV_PATH" value { '
            'string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }'
        ),
        ("TG519",),
        "Failed to get the canonical path for",
    ),
    Case(
        "cpu_only_value",
        plus('parameters { key: "FORCE_CPU_ONLY_INPUT_TENSORS" value { string_value: "maybe" } }'),
        ("TG501",),
        "Incorrect value for FORCE_CPU_ONLY_INPUT_TENSORS: maybe'",
    ),
    Case(
        "strategy_by_relative_path",
        plus('parameters { key: "TRITON_BATCH_STRATEGY_PATH" value { string_value: "x.so" } }'),
        ("TG458",),
        "Batching library path not found: x.so",
    ),
    Case(
        "strategy_of_sequences",
        plus(
            "sequence_batching { } parameters { "
            'key: "TRITON_BATCH_STRATEGY_PATH" value { string_value: "x.so" } }'
        ),
        ("TG458",),
        "TRITON_BATCH_STRATEGY_PATH cannot be specified with sequence batcher",
    ),
)
