"""The tensorrt backend."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFormat
from tritongen.model.tensors import DType

TENSORRT = rule.BackendRules(
    name="tensorrt",
    artefacts=(rule.Artefact(ModelFormat.TENSORRT, "model.plan", platform="tensorrt_plan"),),
    platforms=("tensorrt_plan",),
    refused_dtypes=frozenset(
        {
            DType.UINT16,
            DType.UINT32,
            DType.UINT64,
            DType.INT16,
            DType.FP64,
            DType.BYTES,
        }
    ),
    bf16_since="00.00",
    kinds=("AUTO", "GPU", "MODEL"),
    states=True,
    completes="inputs, outputs, max_batch_size and dynamic_batching, from the engine, on a GPU",
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.PROCESS,
        default=1,
        pooled=True,
        unset="one thread a GPU, which feeds it",
    ),
    parameters=(
        rule.choice(
            "execution_context_allocation_strategy",
            "when memory of an execution context is allocated",
            "STATIC",
            choices=("STATIC", "ON_PROFILE_CHANGE"),
            since="25.05",
        ),
        rule.switch("enable_multi_device", "one engine over several GPUs", "false", since="26.06"),
        rule.text(
            "multi_device_gpus",
            "the GPUs of a multi-device engine, at least two: 0,1",
            since="26.06",
        ),
        rule.switch(
            "multi_device_per_rank_engines",
            "one file a GPU: <file>.rank0 and so on",
            "false",
            since="26.06",
        ),
    ),
)
