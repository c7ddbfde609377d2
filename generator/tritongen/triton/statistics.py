"""What a server says of a model and of itself: its configuration, its counters, its use."""

from dataclasses import dataclass


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
        before = dict(earlier.batches)
        batches = ((size, count - before.get(size, 0)) for size, count in self.batches)
        return ModelStatistics(
            self.requests - earlier.requests,
            self.failures - earlier.failures,
            self.inferences - earlier.inferences,
            self.executions - earlier.executions,
            self.request_ns - earlier.request_ns,
            self.queue_ns - earlier.queue_ns,
            self.compute_input_ns - earlier.compute_input_ns,
            self.compute_infer_ns - earlier.compute_infer_ns,
            self.compute_output_ns - earlier.compute_output_ns,
            self.cache_hits - earlier.cache_hits,
            self.cache_misses - earlier.cache_misses,
            self.executed_ns - earlier.executed_ns,
            tuple((size, count) for size, count in batches if count > 0),
        )


@dataclass(frozen=True, slots=True)
class ServerUse:
    """What the server's processes took during the level.

    Attributes:
        cpu_cores: cores kept busy on average, None when not readable.
        memory_bytes: resident memory at the end, None when not readable.
        source: ``process`` (all processes of a local server) or ``metrics`` (the whole machine).
    """

    cpu_cores: float | None = None
    memory_bytes: int | None = None
    source: str = ""
