"""The tensorrt backend."""

from tritongen.model.backends.backend_rules import (
    Artefact,
    BackendRules,
    ParameterRule,
    ThreadRule,
    ThreadScope,
    ValueKind,
)
from tritongen.model.facts import ModelFormat
from tritongen.model.tensors import DType

TENSORRT = BackendRules(
    name="tensorrt",
    artefacts=(Artefact(ModelFormat.TENSORRT, "model.plan", platform="tensorrt_plan"),),
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
    threads=ThreadRule(
        scope=ThreadScope.PROCESS,
        default=1,
        pooled=True,
        unset="one thread a GPU, which feeds it",
    ),
    parameters=(
        ParameterRule(
            "execution_context_allocation_strategy",
            ValueKind.CHOICE,
            "when memory of an execution context is allocated",
            default="STATIC",
            choices=("STATIC", "ON_PROFILE_CHANGE"),
            since="25.05",
        ),
        ParameterRule(
            "enable_multi_device",
            ValueKind.BOOL,
            "one engine over several GPUs",
            default="false",
            since="26.06",
        ),
        ParameterRule(
            "multi_device_gpus",
            ValueKind.TEXT,
            "the GPUs of a multi-device engine, at least two: 0,1",
            since="26.06",
        ),
        ParameterRule(
            "multi_device_per_rank_engines",
            ValueKind.BOOL,
            "one file a GPU: <file>.rank0 and so on",
            default="false",
            since="26.06",
        ),
    ),
)
