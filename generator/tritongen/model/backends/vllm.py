"""The vllm backend: its engine batches by itself, and completes the configuration."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFormat

VLLM = rule.BackendRules(
    name="vllm",
    artefacts=(rule.Artefact(ModelFormat.VLLM, "model.json"),),
    kinds=("AUTO", "GPU", "MODEL"),
    since="23.10",
    optional_inputs=True,
    bf16_since="00.00",
    true_texts=("true", "yes"),
    own_scheduler=True,
    completes="inputs, outputs, the decoupled policy and max_batch_size 0",
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.PROCESS_PER_INSTANCE,
        default=1,
        unset="one thread a process, which feeds the engine's GPUs",
    ),
    open_parameters=True,
    parameters=(
        rule.switch(
            "REPORT_CUSTOM_METRICS", "the engine's own metrics beside Triton's", since="24.08"
        ),
        rule.switch("ENABLE_VLLM_HEALTH_CHECK", "readiness asks the engine, too"),
    ),
)
