"""The onnxruntime backend."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFormat

ONNXRUNTIME = rule.BackendRules(
    name="onnxruntime",
    artefacts=(rule.Artefact(ModelFormat.ONNX, "model.onnx"),),
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
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.INSTANCE,
        intra_key="intra_op_thread_count",
        inter_key="inter_op_thread_count",
        mode_key="execution_mode",
        environment=(),
        unset="one pinned thread for every physical core of the host, whatever the quota",
        pins=True,
    ),
    parameters=(
        rule.number(
            "intra_op_thread_count",
            "threads that share one operator, per session",
            "0: one a physical core of the host",
            minimum=0,
        ),
        rule.number(
            "inter_op_thread_count",
            "operators that run side by side, used with execution_mode 1 only",
            "0: ONNX Runtime's choice",
            minimum=0,
            since="21.12",
        ),
        rule.choice(
            "execution_mode",
            "0 runs operators in sequence, 1 side by side",
            "0",
            choices=("0", "1"),
            since="21.12",
        ),
        rule.switch("enable_mem_arena", "CPU memory arena", "on", since="22.04"),
        rule.switch("enable_mem_pattern", "memory pattern", "on", since="22.04"),
        rule.text(
            "memory.enable_memory_arena_shrinkage",
            "gives arena memory back after a run, such as cpu:0",
            since="22.04",
        ),
        rule.choice(
            "session.use_device_allocator_for_initializers",
            "initialisers outside the arena",
            "0",
            choices=("0", "1"),
            since="25.02",
        ),
        rule.choice(
            "cudnn_conv_algo_search",
            "cuDNN search: 0 exhaustive, 1 heuristic, 2 default",
            "0",
            choices=("0", "1", "2"),
        ),
        rule.number("gpu_mem_limit", "bytes of the CUDA arena", "no limit", minimum=0),
        rule.choice(
            "arena_extend_strategy",
            "CUDA arena growth: 0 next power of two, 1 as requested",
            "0",
            choices=("0", "1"),
        ),
        rule.switch("do_copy_in_default_stream", "CUDA copies in the default stream", "1"),
    ),
)
