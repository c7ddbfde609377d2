"""The openvino backend."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFormat
from tritongen.model.tensors import DType

OPENVINO = rule.BackendRules(
    name="openvino",
    artefacts=(rule.Artefact(ModelFormat.OPENVINO, "model.xml"),),
    refused_dtypes=frozenset({DType.FP64, DType.BYTES, DType.BF16}),
    true_texts=("YES",),
    false_texts=(),
    kinds=("AUTO", "CPU"),
    scalars=False,
    batching=rule.BatchSupport.EXACT,
    completes="inputs, outputs, max_batch_size and dynamic_batching, where every tensor's layout "
    "has an N; one dynamic size makes all sizes of its tensor -1",
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.MODEL,
        intra_key="INFERENCE_NUM_THREADS",
        streams_key="NUM_STREAMS",
        pooled=True,
        unset="one thread for every core of the host, shared by the model's instances",
    ),
    parameters=(
        rule.number(
            "INFERENCE_NUM_THREADS",
            "threads of the model, shared by all of its instances",
            "the cores of the host",
            minimum=0,
        ),
        rule.number(
            "NUM_STREAMS",
            "executions that share the threads at once",
            "OpenVINO's choice",
            choices=("AUTO", "NUMA"),
            case_sensitive=False,
            minimum=0,
        ),
        rule.choice(
            "PERFORMANCE_HINT",
            "what OpenVINO's own choices aim at",
            "OpenVINO's choice",
            choices=("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT"),
            case_sensitive=False,
        ),
        rule.number("COMPILATION_NUM_THREADS", "threads that compile the model", minimum=0),
        rule.choice("HINT_BF16", "computes in BF16", choices=("YES",), case_sensitive=False),
        rule.switch("SKIP_OV_DYNAMIC_BATCHSIZE", "no automatic batching inside OpenVINO", "no"),
        rule.switch(
            "ENABLE_BATCH_PADDING", "fills short batches up to max_batch_size with zeros", "no"
        ),
        rule.switch("RESHAPE_IO_LAYERS", "reshapes the inputs to the configuration's dims", "no"),
        rule.path("CPU_EXTENSION_PATH", "a library with operators of your own"),
        rule.text(
            "TARGET_DEVICE",
            "CPU, GPU, NPU, AUTO, MULTI or HETERO; the standard image has CPU only",
            "CPU",
            since="25.10",
        ),
    ),
    trial="openvino",
    embedded="openvino in Python",
)
