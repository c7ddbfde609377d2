"""Where the time of a request goes, from the server's statistics and the client's own clock.

The parts add up to the latency: lateness (sent after it was due) + client (its CPU time) +
network (the wire and the server's front end: what is left) + queue + compute input + infer +
output. Statistics are sums since the server started, so two readings give a mean for the time
between them.
"""

from dataclasses import dataclass, field
from shlex import quote
from typing import Annotated

from tritongen.model.codec import Digits, JsonKey
from tritongen.triton.statistics import ModelStatistics, ServedConfig, ServerUse


@dataclass(frozen=True, slots=True)
class Execution:
    """How one model was executed between two readings; mean microseconds a request.

    Attributes:
        model: its name.
        requests: successful ones.
        executions: batches.
        average_batch: rows in one execution, None without executions.
        busy_share: of its instances' time spent executing, None when instances are not known.
        queue_us: in the queue.
        compute_input_us: preparing inputs.
        compute_infer_us: in the backend.
        compute_output_us: extracting outputs.
        cache_hit_share: of requests looked up in the response cache, None without any.
        execution_us: mean time of one execution, however many requests it served; None without.
    """

    model: str
    requests: int
    executions: int
    average_batch: Annotated[float | None, Digits(3)]
    busy_share: Annotated[float | None, JsonKey("instance_busy_share"), Digits(4)]
    queue_us: Annotated[float, Digits(1)]
    compute_input_us: Annotated[float, Digits(1)]
    compute_infer_us: Annotated[float, Digits(1)]
    compute_output_us: Annotated[float, Digits(1)]
    cache_hit_share: Annotated[float | None, Digits(4)] = None
    execution_us: float | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """Where the time of the mean successful request went; microseconds.

    Attributes:
        total_us: mean latency between the two readings of the statistics.
        lateness_us: sent minus intended.
        client_us: the generator's CPU time.
        network_us: the wire, the sockets and the server's front end.
        queue_us: waiting for an instance.
        compute_input_us: preparing inputs.
        compute_infer_us: in the backend.
        compute_output_us: extracting outputs.
        own: how the model itself was executed.
        composing: how the models of an ensemble were executed.
        use: CPU and memory of the server.
    """

    total_us: float
    lateness_us: float
    client_us: float
    network_us: float
    queue_us: Annotated[float, Digits(1)]
    compute_input_us: Annotated[float, Digits(1)]
    compute_infer_us: Annotated[float, Digits(1)]
    compute_output_us: Annotated[float, Digits(1)]
    own: Execution
    composing: tuple[Execution, ...] = ()
    use: ServerUse = field(default_factory=ServerUse)

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """(name, microseconds) of the parts, in the order in which a request meets them."""
        return (
            ("lateness", self.lateness_us),
            ("client", self.client_us),
            ("network", self.network_us),
            ("queue", self.queue_us),
            ("compute input", self.compute_input_us),
            ("compute infer", self.compute_infer_us),
            ("compute output", self.compute_output_us),
        )

    def share(self, *names: str) -> float:
        """The named parts' share of the total, 0 when the total is 0."""
        found = sum(value for name, value in self.parts if name in names)
        return found / self.total_us if self.total_us > 0 else 0.0


def execution_of(delta: ModelStatistics, config: ServedConfig, wall_s: float) -> Execution:
    """One model's means from the difference of two readings `wall_s` seconds apart."""
    count = max(delta.requests, 1) * 1e3
    looked_up = delta.cache_hits + delta.cache_misses
    busy = None
    if config.instances and wall_s > 0:
        busy = min(delta.executed_ns / 1e9 / (wall_s * config.instances), 1.0)
    return Execution(
        model=config.model,
        requests=delta.requests,
        executions=delta.executions,
        average_batch=delta.inferences / delta.executions if delta.executions else None,
        busy_share=busy,
        queue_us=delta.queue_ns / count,
        compute_input_us=delta.compute_input_ns / count,
        compute_infer_us=delta.compute_infer_ns / count,
        compute_output_us=delta.compute_output_ns / count,
        cache_hit_share=delta.cache_hits / looked_up if looked_up else None,
        execution_us=delta.executed_ns / delta.executions / 1e3 if delta.executions else None,
    )


def attribute(
    own: Execution,
    composing: tuple[Execution, ...],
    mean_us: float,
    lateness_us: float,
    client_us: float,
    use: ServerUse | None = None,
) -> Attribution:
    """The parts of a mean latency; they add up to it.

    Args:
        own: the model's execution. An ensemble does not queue or compute itself, so the sums of
            its composing models stand in for it.
        composing: of an ensemble's models; means for each of their own requests.
        mean_us: latency from intended to done.
        lateness_us: sent minus intended.
        client_us: CPU time of the generator for one request.
        use: of the server.
    """
    parts = _inside(own, composing)
    inside = sum(parts)
    left = max(mean_us - lateness_us - inside, 0.0)
    client = min(client_us, left)
    # Steps of an ensemble may overlap; then their sum exceeds what the request waited for.
    scale = (mean_us - lateness_us - left) / inside if inside > 0.0 else 0.0
    queue, fetch, infer, store = (scale * part for part in parts)
    return Attribution(
        total_us=mean_us,
        lateness_us=lateness_us,
        client_us=client,
        network_us=left - client,
        queue_us=queue,
        compute_input_us=fetch,
        compute_infer_us=infer,
        compute_output_us=store,
        own=own,
        composing=composing,
        use=use or ServerUse(),
    )


def _inside(own: Execution, composing: tuple[Execution, ...]) -> list[float]:
    """Queue, compute input, infer and output of one request, its composing models included."""
    inside = [own]
    if composing and own.compute_infer_us == 0.0 and own.queue_us == 0.0:
        inside = list(composing)
    # A composing model may run more than once for each request of the ensemble.
    weighted = [(item.requests / own.requests if own.requests else 0.0, item) for item in inside]
    names = ("queue_us", "compute_input_us", "compute_infer_us", "compute_output_us")
    return [sum(weight * getattr(item, name) for weight, item in weighted) for name in names]


@dataclass(frozen=True, slots=True)
class Advice:
    """What a measurement means, and what to try.

    Attributes:
        sentence: for people.
        command: to try next; empty when there is none.
    """

    sentence: str
    command: str = ""


# Shares of the time or of a core that lead to an advice, bytes beyond which transport is worth one,
# and the average batch that counts as one request at a time. Chosen.
_DOMINANT = 0.5
_BUSY = 0.9
_LITTLE = 0.1
_LARGE = 65_536
_SINGLE = 1.05


def advise(
    attribution: Attribution,
    config: ServedConfig,
    *,
    client_busy: float,
    closed: bool,
    payload_bytes: int = 0,
) -> tuple[Advice, ...]:
    """What the attribution says about the model's configuration.

    Args:
        attribution: of the level.
        config: of the model.
        client_busy: share of a core that each generator process took.
        closed: whether the loop was closed.
        payload_bytes: of one request and its response.
    """
    name = quote(config.model)
    optimize, probe = f"tritongen optimize -m {name}", f"tritongen probe -m {name}"
    queue = attribution.share("queue")
    transport = attribution.share("client", "network")
    infer = attribution.share("compute infer")
    busy, hits = attribution.own.busy_share, attribution.own.cache_hit_share
    found = [_queue_advice(attribution, config, queue)] if queue >= _DOMINANT else []
    if infer >= _DOMINANT:
        what = f"{infer:.0%} of the time is the model's own computation"
        found.append(Advice(f"{what}: only a cheaper model or more threads help", optimize))
    if transport >= _DOMINANT and payload_bytes > _LARGE:
        payload = f"{payload_bytes / 1024:.0f} KiB a request"
        what = f"{transport:.0%} of the time is transport of {payload}"
        found.append(Advice(f"{what}: shared memory avoids the copies", f"{probe} --shm"))
    if client_busy >= _BUSY:
        what = f"the generator itself used {client_busy:.0%} of a core"
        found.append(Advice(f"{what}: it may be the bottleneck", f"{probe} --processes 2"))
    idle = busy if busy is not None and busy < _DOMINANT else None
    if closed and idle is not None and queue < _LITTLE and transport < _DOMINANT:
        what = f"the instances were busy for {idle:.0%} of the time"
        more = f"{probe} --concurrency 1:64"
        found.append(Advice(f"{what}: more concurrency raises throughput", more))
    if hits:
        what = f"{hits:.0%} of the requests came from the response cache"
        found.append(Advice(f"{what}: requests that do not repeat will take longer"))
    return tuple(found)


def _queue_advice(attribution: Attribution, config: ServedConfig, share: float) -> Advice:
    """What to try where waiting for an instance dominates."""
    worst = max((attribution.own, *attribution.composing), key=lambda item: item.queue_us)
    batch, busy, name = worst.average_batch, worst.busy_share, quote(config.model)
    why, command = ": requests wait for an instance", f"tritongen tune -m {name}"
    if worst.model != config.model:
        why = f", most of it in front of {worst.model}"
        command = f"tritongen tune -m {quote(worst.model)}"
    elif batch is not None and batch < _SINGLE and not config.dynamic_batching:
        why = ": dynamic batching is off"
        if config.max_batch_size <= 1:
            why = ": the model is served without a batch axis, one request at a time"
            command = f"tritongen optimize -m {name} --fix"
    elif busy is not None and busy >= _BUSY:
        why = f": the instances were busy for {busy:.0%} of the time; this is their capacity"
    shown = f"{share:.0%} queue" + (f", batch {batch:.1f}" if batch is not None else "")
    return Advice(shown + why, command)
