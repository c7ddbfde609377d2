"""The keys of `tritongen.yaml`: one literal, from which parsing, JSON schema and docs follow."""

from tritongen.intent.business_keys import MODEL_KEYS, ROOT_KEYS
from tritongen.intent.value_shapes import (
    Anything,
    Choice,
    Flag,
    Key,
    ListOf,
    MapOf,
    Number,
    Record,
    Text,
)
from tritongen.model.accuracy_metrics import Metric
from tritongen.model.intent import Overload, SequenceControl, SequenceStrategy, WeightsMode
from tritongen.model.quantities import duration_ms, size_bytes
from tritongen.model.tensors import DType

PERCENTILES: dict[str, float] = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}

_RATE = Number(above=0)
_DURATION = Text("a duration such as 20ms, 1.5s or 250us", convert=duration_ms)
_DIM = Number(minimum=-1, whole=True)

_TENSOR = Record(
    {
        "dtype": Key(
            Choice(tuple(member.value for member in DType)),
            "element type, for formats that carry none (v2 protocol name: FP32, INT64, BYTES, …)",
        ),
        "dims": Key(
            ListOf(_DIM),
            "full shape, batch axis included, -1 for a dynamic size; for formats that carry none",
        ),
        "shape": Key(
            ListOf(Number(minimum=1, whole=True)),
            "concrete full shape to use in the trial and in probes",
        ),
        "values": Key(
            Text("a generator such as int[0,30522), float[-1,1] or choice(a,b)"),
            "values to generate in the trial and in probes",
        ),
    }
)

_LATENCY = Record(
    {name: Key(_DURATION, f"goal at the {name} percentile") for name in PERCENTILES},
    shorthand="p99",
)

_FUNCTION = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
_ACCURACY = Record(
    {
        "max_drop": Key(Number(minimum=0, maximum=1), "greatest accepted loss (default: 0.01)"),
        "metric": Key(
            Choice(tuple(item.value for item in Metric if item is not Metric.CALLABLE)),
            "what is measured; default: top1 for labels, else likeness to the original's outputs",
        ),
        "data": Key(
            Text("a .npz file, a folder of .npy files, or module:function"),
            "samples named after the inputs, with `labels`; paths are relative to this file",
        ),
        "callable": Key(
            Text("module:function", pattern=_FUNCTION),
            "a metric of your own: called with outputs by name and the labels, more is better",
        ),
        "labels": Key(Text("the name of an array"), "the array that holds the labels"),
        "output": Key(Text("the name of an output"), "the output that is scored"),
    }
)

_SEQUENCE = Record(
    {
        "state": Key(
            MapOf(Text("the name of an output")),
            "state input: the output that holds the next state; the server keeps it",
        ),
        "initial": Key(
            MapOf(Text("a path below this folder", pattern=r"[A-Za-z0-9_][A-Za-z0-9_./-]*")),
            "state input: a file with the first state, raw little-endian numbers; else zeros",
        ),
        "controls": Key(
            Record(
                {
                    control.value: Key(Text("the name of an input"), meaning)
                    for control, meaning in (
                        (SequenceControl.START, "input that is 1 at a sequence's first request"),
                        (SequenceControl.END, "input that is 1 at a sequence's last request"),
                        (SequenceControl.READY, "input that is 1 for rows that hold a request"),
                        (SequenceControl.ID, "input that holds the sequence's number"),
                    )
                }
            ),
            "inputs of the model that the server fills",
        ),
        "strategy": Key(
            Choice(tuple(item.value for item in SequenceStrategy)),
            "oldest (default) batches sequences as they come, direct gives each a row of its own",
        ),
        "concurrent": Key(
            Number(minimum=1, maximum=1_000_000, whole=True), "sequences open at the same time"
        ),
        "idle": Key(_DURATION, "a sequence without requests for so long loses its state"),
    }
)

_MODEL = Record(
    {
        "rate": Key(
            Record(
                {
                    "average": Key(_RATE, "mean requests per second"),
                    "peak": Key(_RATE, "requests per second at peak"),
                },
                shorthand="average",
            ),
            "requests per second; a number is the average",
        ),
        "latency": Key(_LATENCY, "latency goal; a duration is the p99"),
        "overload": Key(
            Choice(tuple(item.value for item in Overload)),
            "queue (default) answers late, reject refuses what would miss the latency goal",
        ),
        "request_batch": Key(
            Number(minimum=1, maximum=65536, whole=True), "rows in one client request"
        ),
        "batch": Key(
            Flag(), "false forbids batching, true demands it; leave out to let it be proven"
        ),
        "max_batch_size": Key(
            Number(minimum=0, maximum=65536, whole=True), "upper limit of the planned batch size"
        ),
        "instances": Key(Number(minimum=1, maximum=4096, whole=True), "fixed instance count"),
        "threads": Key(Number(minimum=1, maximum=4096, whole=True), "fixed threads an instance"),
        "accuracy": Key(
            _ACCURACY,
            "what quantisation may cost, and how that is measured",
        ),
        "response_cache": Key(Flag(), "answer equal requests from Triton's cache"),
        "versions": Key(
            ListOf(Number(minimum=1, whole=True), least=1), "versions to serve; default: the newest"
        ),
        "inputs": Key(MapOf(_TENSOR), "what the model file does not say of its inputs"),
        "outputs": Key(MapOf(_TENSOR), "what the model file does not say of its outputs"),
        "overlay": Key(
            Anything(mapping=True),
            "any field of Triton's ModelConfig, merged last; null removes a generated field; the "
            "plan follows a max_batch_size, 0 serves without batching",
        ),
        "sequence": Key(
            _SEQUENCE, "requests that belong together, with state kept on the server between them"
        ),
        "skip": Key(Flag(), "leave the model out of the repository"),
        **MODEL_KEYS,
    }
)

_STEP = Record(
    {
        "model": Key(Text("the name of a model"), "the step's model"),
        "inputs": Key(
            MapOf(Text("the name of a tensor")),
            "the model's input: the pipeline's tensor; left out, the tensor of the same name",
        ),
        "outputs": Key(
            MapOf(Text("the name of a tensor")),
            "the model's output: the pipeline's tensor; left out, all under their own names",
        ),
    }
)

_PIPELINE = Record(
    {
        "steps": Key(ListOf(_STEP, least=1), "models that answer one request together"),
        "outputs": Key(
            ListOf(Text("the name of a tensor"), least=1), "tensors that the pipeline answers with"
        ),
        "rate": _MODEL.keys["rate"],
        "latency": _MODEL.keys["latency"],
    }
)

_TARGET = Record(
    {
        "triton": Key(
            Text("a Triton release such as 26.07", pattern=r"\d{2}\.\d{2}", decimals=2),
            "Triton release that will serve the repository",
        ),
        "cpus": Key(
            Number(above=0, maximum=4096),
            "cores of the container; left out, this machine's budget is taken once and recorded",
        ),
        "memory": Key(
            Text("a size such as 512MB or 8GiB", convert=size_bytes),
            "memory limit of the container",
        ),
        "gpus": Key(Number(minimum=0, maximum=64, whole=True), "number of GPUs"),
    }
)

ROOT = Record(
    {
        "target": Key(_TARGET, "the machine that is planned for"),
        "weights": Key(
            Choice(tuple(mode.value for mode in WeightsMode)), "how weights get into the repository"
        ),
        "models": Key(MapOf(_MODEL), "what is wanted of each model, by its name"),
        "pipelines": Key(
            MapOf(_PIPELINE, r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "a name that can be served"),
            "several models behind one name, served as an ensemble",
        ),
        **ROOT_KEYS,
    }
)


def json_schema() -> dict[str, object]:
    """The JSON schema (draft 2020-12) of `tritongen.yaml`, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tritongen.yaml",
        **ROOT.schema(),
    }
