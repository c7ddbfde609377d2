"""The openvino backend."""

from tritongen.model.backends.backend_rules import (
    Artefact,
    BackendRules,
    BatchSupport,
    ParameterRule,
    ThreadRule,
    ThreadScope,
    ValueKind,
)
from tritongen.model.facts import ModelFormat
from tritongen.model.tensors import DType

OPENVINO = BackendRules(
    name="openvino",
    artefacts=(Artefact(ModelFormat.OPENVINO, "model.xml"),),
    refused_dtypes=frozenset({DType.FP64, DType.BYTES, DType.BF16}),
    true_texts=("YES",),
    false_texts=(),
    kinds=("AUTO", "CPU"),
    scalars=False,
    batching=BatchSupport.EXACT,
    completes="inputs, outputs, max_batch_size and dynamic_batching, where every tensor's layout "
    "has an N; one dynamic size makes all sizes of its tensor -1",
    threads=ThreadRule(
        scope=ThreadScope.MODEL,
        intra_key="INFERENCE_NUM_THREADS",
        streams_key="NUM_STREAMS",
        pooled=True,
        unset="one thread for every core of the host, shared by the model's instances",
    ),
    parameters=(
        ParameterRule(
            "INFERENCE_NUM_THREADS",
            ValueKind.INT,
            "threads of the model, shared by all of its instances",
            default="the cores of the host",
            minimum=0,
        ),
        ParameterRule(
            "NUM_STREAMS",
            ValueKind.INT,
            "executions that share the threads at once",
            default="OpenVINO's choice",
            choices=("AUTO", "NUMA"),
            case_sensitive=False,
            minimum=0,
        ),
        ParameterRule(
            "PERFORMANCE_HINT",
            ValueKind.CHOICE,
            "what OpenVINO's own choices aim at",
            default="OpenVINO's choice",
            choices=("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"),
            case_sensitive=False,
        ),
        ParameterRule(
            "COMPILATION_NUM_THREADS", ValueKind.INT, "threads that compile the model", minimum=0
        ),
        ParameterRule(
            "HINT_BF16",
            ValueKind.CHOICE,
            "computes in BF16",
            choices=("YES",),
            case_sensitive=False,
        ),
        ParameterRule(
            "SKIP_OV_DYNAMIC_BATCHSIZE",
            ValueKind.BOOL,
            "no automatic batching inside OpenVINO",
            default="no",
        ),
        ParameterRule(
            "ENABLE_BATCH_PADDING",
            ValueKind.BOOL,
            "fills short batches up to max_batch_size with zeros",
            default="no",
        ),
        ParameterRule(
            "RESHAPE_IO_LAYERS",
            ValueKind.BOOL,
            "reshapes the inputs to the configuration's dims",
            default="no",
        ),
        ParameterRule("CPU_EXTENSION_PATH", ValueKind.PATH, "a library with operators of your own"),
        ParameterRule(
            "TARGET_DEVICE",
            ValueKind.TEXT,
            "CPU, GPU, NPU, AUTO, MULTI or HETERO; the standard image has CPU only",
            default="CPU",
            since="25.10",
        ),
    ),
    trial="openvino",
    embedded="openvino in Python",
)
