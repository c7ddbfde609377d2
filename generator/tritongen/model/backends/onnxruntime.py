"""The onnxruntime backend."""

from tritongen.model.backends.backend_rules import (
    Artefact,
    BackendRules,
    ParameterRule,
    ThreadRule,
    ThreadScope,
    ValueKind,
)
from tritongen.model.facts import ModelFormat

ONNXRUNTIME = BackendRules(
    name="onnxruntime",
    artefacts=(Artefact(ModelFormat.ONNX, "model.onnx"),),
    platforms=("onnxruntime_onnx",),
    completes="inputs, outputs, max_batch_size and dynamic_batching, when one of inputs and "
    "outputs is missing; every dynamic first axis is then taken for the batch axis",
    trial="onnxruntime",
    embedded="onnxruntime in Python",
    states=True,
    default_cpu_instances=2,
    optional_inputs=True,
    bf16_since="26.03",
    arena_key="enable_mem_arena",
    threads=ThreadRule(
        scope=ThreadScope.INSTANCE,
        intra_key="intra_op_thread_count",
        inter_key="inter_op_thread_count",
        mode_key="execution_mode",
        environment=(),
        unset="one pinned thread for every physical core of the host, whatever the quota",
        pins=True,
    ),
    parameters=(
        ParameterRule(
            "intra_op_thread_count",
            ValueKind.INT,
            "threads that share one operator, per session",
            default="0: one a physical core of the host",
            minimum=0,
        ),
        ParameterRule(
            "inter_op_thread_count",
            ValueKind.INT,
            "operators that run side by side, used with execution_mode 1 only",
            default="0: ONNX Runtime's choice",
            minimum=0,
            since="21.12",
        ),
        ParameterRule(
            "execution_mode",
            ValueKind.CHOICE,
            "0 runs operators in sequence, 1 side by side",
            default="0",
            choices=("0", "1"),
            since="21.12",
        ),
        ParameterRule(
            "enable_mem_arena", ValueKind.BOOL, "CPU memory arena", default="on", since="22.04"
        ),
        ParameterRule(
            "enable_mem_pattern", ValueKind.BOOL, "memory pattern", default="on", since="22.04"
        ),
        ParameterRule(
            "memory.enable_memory_arena_shrinkage",
            ValueKind.TEXT,
            "gives arena memory back after a run, such as cpu:0",
            since="22.04",
        ),
        ParameterRule(
            "session.use_device_allocator_for_initializers",
            ValueKind.CHOICE,
            "initialisers outside the arena",
            default="0",
            choices=("0", "1"),
            since="25.02",
        ),
        ParameterRule(
            "cudnn_conv_algo_search",
            ValueKind.CHOICE,
            "cuDNN search: 0 exhaustive, 1 heuristic, 2 default",
            default="0",
            choices=("0", "1", "2"),
        ),
        ParameterRule(
            "gpu_mem_limit", ValueKind.INT, "bytes of the CUDA arena", default="no limit", minimum=0
        ),
        ParameterRule(
            "arena_extend_strategy",
            ValueKind.CHOICE,
            "CUDA arena growth: 0 next power of two, 1 as requested",
            default="0",
            choices=("0", "1"),
        ),
        ParameterRule(
            "do_copy_in_default_stream",
            ValueKind.BOOL,
            "CUDA copies in the default stream",
            default="1",
        ),
    ),
)
