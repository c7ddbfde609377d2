"""The tensorrtllm backend: the engine's part of a set whose configurations are handed over."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFormat

TENSORRTLLM = rule.BackendRules(
    name="tensorrtllm",
    artefacts=(rule.Artefact(ModelFormat.TEMPLATE, "config.pbtxt"),),
    since="23.10",
    # No image of 26.11 was published.
    until="26.10",
    optional_inputs=True,
    bf16_since="00.00",
    own_scheduler=True,
    completes="nothing: its sets are started without auto-completion",
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.PROCESS,
        default=1,
        pooled=True,
        unset="one thread, which feeds the GPUs",
    ),
    open_parameters=True,
    parameters=(
        rule.path("gpt_model_path", "folder of the engine on the server"),
        rule.choice(
            "gpt_model_type",
            "how requests share executions",
            choices=("inflight_fused_batching", "V1", "inflight_batching"),
        ),
        rule.decimal("kv_cache_free_gpu_mem_fraction", "share of the memory left", "0.9"),
        rule.text("gpu_device_ids", "GPUs of an instance, 0,1; instances are parted by ;"),
        rule.path("executor_worker_path", "program that runs the engine's other ranks"),
    ),
)
