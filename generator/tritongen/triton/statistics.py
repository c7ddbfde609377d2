"""What a server says of a model and of itself: its configuration, its counters, its use."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import reduce
from typing import Annotated, Any

from tritongen.model.codec import Digits, JsonKey

# Counters have 64 bits. Greater numbers have sums that are none.
MAX_COUNTER = 2.0**64


@dataclass(frozen=True, slots=True)
class ServedConfig:
    """What matters here of a served model's configuration.

    Attributes:
        model: its name.
        max_batch_size: 0 for no batching.
        dynamic_batching: whether the dynamic batcher is on.
        instances: over all instance groups, None when not known (an ensemble has none).
        decoupled: whether one request may get any number of responses.
        sequence: whether a sequence batcher is on.
        steps: models that an ensemble is composed of, in order.
    """

    model: str
    max_batch_size: int = 0
    dynamic_batching: bool = False
    instances: int | None = None
    decoupled: bool = False
    sequence: bool = False
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """One reading of a model's statistics: sums since it was loaded; times in nanoseconds.

    Attributes:
        requests: successful requests.
        failures: failed requests.
        inferences: rows.
        executions: batches that were executed.
        request_ns: time of successful requests inside the server.
        queue_ns: in the queue.
        compute_input_ns: preparing inputs.
        compute_infer_ns: in the backend.
        compute_output_ns: extracting outputs.
        cache_hits: requests answered from the response cache.
        cache_misses: requests looked up in vain.
        executed_ns: time of executions, each counted once however many requests it served.
        batches: (batch size, executions).
    """

    requests: int = 0
    failures: int = 0
    inferences: int = 0
    executions: int = 0
    request_ns: int = 0
    queue_ns: int = 0
    compute_input_ns: int = 0
    compute_infer_ns: int = 0
    compute_output_ns: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    executed_ns: int = 0
    batches: tuple[tuple[int, int], ...] = ()

    def since(self, earlier: "ModelStatistics") -> "ModelStatistics":
        """What happened between two readings; this reading itself if the server was restarted."""
        if self.requests < earlier.requests or self.executions < earlier.executions:
            return self
        return self._joined(earlier, -1)

    def plus(self, other: "ModelStatistics") -> "ModelStatistics":
        """What two versions or two servers have done together."""
        return self._joined(other, 1)

    def _joined(self, other: "ModelStatistics", sign: int) -> "ModelStatistics":
        sums = {
            name: getattr(self, name) + sign * getattr(other, name)
            for name in (field.name for field in fields(self))
            if name != "batches"
        }
        counts = dict(self.batches)
        for size, count in other.batches:
            counts[size] = counts.get(size, 0) + sign * count
        batches = tuple(sorted((size, count) for size, count in counts.items() if count > 0))
        return ModelStatistics(**sums, batches=batches)


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What Triton's metrics say of the GPUs that it sees, all of them together.

    Attributes:
        utilization: busy share, the mean over them, None where it is not told, as with MIG.
        memory_bytes: that is taken, by whomever.
        total_bytes: that they have.
    """

    utilization: Annotated[float | None, JsonKey("gpu_utilization"), Digits(3)] = None
    memory_bytes: Annotated[int | None, JsonKey("gpu_memory_bytes")] = None
    total_bytes: Annotated[int | None, JsonKey("gpu_memory_total_bytes")] = None


@dataclass(frozen=True, slots=True)
class ServerUse:
    """What the server's processes took during the level.

    Attributes:
        cpu_cores: cores kept busy on average, None when not readable.
        memory_bytes: resident memory at the end, None when not readable.
        source: ``process`` (all processes of a local server) or ``metrics`` (the whole machine).
        gpus: at the end, None where the server tells of none.
    """

    cpu_cores: Annotated[float | None, Digits(3)] = None
    memory_bytes: int | None = None
    source: Annotated[str, JsonKey("use_source")] = ""
    gpus: GpuUse | None = None


def served_config(model: str, config: Mapping[str, Any]) -> ServedConfig:
    """What matters of a configuration in JSON; numbers may come as text."""
    groups = config.get("instance_group") or []
    # An instance group on several GPUs has its count on each of them.
    counts = [
        int(group.get("count", 1) or 1) * max(len(group.get("gpus") or []), 1) for group in groups
    ]
    steps = (config.get("ensemble_scheduling") or {}).get("step") or []
    policy = config.get("model_transaction_policy") or {}
    return ServedConfig(
        model=model,
        max_batch_size=int(config.get("max_batch_size", 0) or 0),
        dynamic_batching="dynamic_batching" in config,
        instances=sum(counts) if counts and not steps else None,
        decoupled=bool(policy.get("decoupled", False)),
        sequence="sequence_batching" in config,
        steps=tuple(dict.fromkeys(str(step.get("model_name", "")) for step in steps)),
    )


def model_statistics(versions: Iterable[Mapping[str, Any]]) -> ModelStatistics:
    """Statistics from the JSON form of one model's versions, summed; numbers may come as text.

    Raises:
        AttributeError, TypeError, ValueError: they have another form.
    """
    return reduce(ModelStatistics.plus, map(_one_version, versions), ModelStatistics())


def _one_version(item: Mapping[str, Any]) -> ModelStatistics:
    stats = item.get("inference_stats") or {}

    def part(name: str, field: str) -> int:
        return int((stats.get(name) or {}).get(field, 0) or 0)

    batches = item.get("batch_stats") or ()
    executed = sum(
        int((batch.get(name) or {}).get("ns", 0) or 0)
        for batch in batches
        for name in ("compute_input", "compute_infer", "compute_output")
    )
    return ModelStatistics(
        requests=part("success", "count"),
        failures=part("fail", "count"),
        inferences=int(item.get("inference_count", 0) or 0),
        executions=int(item.get("execution_count", 0) or 0),
        request_ns=part("success", "ns"),
        queue_ns=part("queue", "ns"),
        compute_input_ns=part("compute_input", "ns"),
        compute_infer_ns=part("compute_infer", "ns"),
        compute_output_ns=part("compute_output", "ns"),
        cache_hits=part("cache_hit", "count"),
        cache_misses=part("cache_miss", "count"),
        executed_ns=executed,
        batches=tuple(
            (int(b.get("batch_size", 0) or 0), int((b.get("compute_infer") or {}).get("count", 0)))
            for b in batches
        ),
    )
