"""What one model asks of a machine: service times, overheads, goal, memory, bytes on the wire."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tritongen.model.business import Business, Compression, Payload, Place
from tritongen.model.evidence import (
    INSTANCE_MARGIN_BYTES,
    ModelEvidence,
    ObservedTensor,
    Served,
    ServedRate,
    Trial,
    instance_memory,
)
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import ModelIntent
from tritongen.model.tensors import TensorSpec
from tritongen.planner.tuned_choice import served_times, stalls_of
from tritongen.queueing import Pauses, ServiceTimes, trial_points

# Without a stated goal the percentile may take so many undisturbed executions, and this at least.
GOAL_EXECUTIONS = 5.0
GOAL_MIN_S = 5e-3
# CPU seconds of one request in Triton's front end, and of each byte that it copies.
FRONT_END_S = 60e-6
_BYTE_S = 0.25e-9
# gzip at the level that servers use, both directions, seconds a byte.
_GZIP_S = 40e-9
# Round trip and sockets by where the clients are, seconds; bytes a second of one mobile client.
_TRANSPORT_S: Mapping[Place, float] = {
    Place.SAME_HOST: 0.05e-3,
    Place.DATA_CENTRE: 0.5e-3,
    Place.MOBILE: 60e-3,
}
_MOBILE_BYTES_S = 10e6 / 8.0
# A share of its size that a compressed body keeps.
_GZIP_SIZE = 0.6
# Service times of a trial come from another process than a server's: this much is not known.
TRIAL_UNCERTAINTY = 0.25
SERVED_UNCERTAINTY = 0.08
# Bytes of a value of unknown size, and of headers and names.
_STRING_BYTES = 64
_HEADER_BYTES = 400
# Memory of a server without models. Measured: 35 MiB are resident, in the embedded Triton as in the
# slim image. Chosen: the rest is for backends' libraries, of which official images have more.
_SERVER_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Placed:
    """One model in a container.

    Attributes:
        name: of the model.
        instances: instance count.
        threads: of each instance.
        max_batch: greatest batch, 0 for no batching.
        delay_s: queue delay, None where requests are not merged.
    """

    name: str
    instances: int
    threads: int
    max_batch: int = 0
    delay_s: float | None = None

    @property
    def merged(self) -> int:
        """Rows that an execution holds at most when requests are merged, 1 when they are not."""
        return max(1, self.max_batch) if self.delay_s is not None else 1


@dataclass(frozen=True, slots=True)
class Sweep:
    """One configuration, measured at several rates.

    Attributes:
        placed: what was served, alone on the server.
        cores: of the server.
        transport_s: of every latency, outside the server.
        rates: by ascending rate.
    """

    placed: Placed
    cores: float
    transport_s: float
    rates: tuple[ServedRate, ...]

    def shows(self, placed: Placed, cores: float) -> bool:
        """Whether a container is what was measured."""
        return bool(self.rates) and placed == self.placed and cores == self.cores


@dataclass(frozen=True, slots=True)
class LatencyGoal:
    """A latency goal.

    Attributes:
        percentile: of all requests.
        limit_s: that percentile stays below it.
        stated: whether the user stated it.
    """

    percentile: float
    limit_s: float
    stated: bool

    @property
    def late_share(self) -> float:
        """Share of all requests that may be later than the limit."""
        return 1.0 - self.percentile / 100.0


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """One model, as capacity planning sees it.

    Attributes:
        name: of the model.
        service: executions on the processor where they were measured.
        measured_on: that processor, empty when not known.
        served: whether they were measured on a running Triton.
        uncertainty: of their level, as a share.
        goal: for the latency that clients see.
        rows: in one request.
        front_end_s: CPU time of a request outside its execution.
        transport_s: latency outside queue, execution and front end.
        pause_s: mean of the pauses that one in twenty requests meets on its way.
        wake_s: CPU time more of a request that finds the threads asleep.
        stalls: moments in which nothing runs, None where none were seen.
        sweep: what the tuned configuration did at rates, None where it was not measured.
        instance_bytes: memory of one instance.
        request_bytes: on the wire.
        response_bytes: on the wire.
        int8: whether most of the work is on 8-bit integers.
    """

    name: str
    service: ServiceTimes
    measured_on: str
    served: bool
    uncertainty: float
    goal: LatencyGoal
    rows: int = 1
    front_end_s: float = FRONT_END_S
    transport_s: float = 0.0
    pause_s: float = 0.0
    wake_s: float = 0.0
    stalls: Pauses | None = None
    sweep: Sweep | None = None
    instance_bytes: int = INSTANCE_MARGIN_BYTES
    request_bytes: int = _HEADER_BYTES
    response_bytes: int = _HEADER_BYTES
    int8: bool = False


def container_memory(instances: Iterable[tuple[int, int]]) -> int:
    """Bytes that a container needs beside its /dev/shm.

    Args:
        instances: of each model their count, and the bytes of one.
    """
    return _SERVER_BYTES + sum(count * each for count, each in instances)


def profile_model(
    facts: ModelFacts,
    intent: ModelIntent,
    evidence: ModelEvidence,
    business: Business,
    cpu: str,
) -> ModelProfile | None:
    """What a model asks of a machine, None when nothing is known of its times.

    Args:
        facts: of the model.
        intent: goal, rows and payload.
        evidence: measurements on a server where there are any, else the trial's.
        business: clients.
        cpu: the processor of trials that do not name theirs, empty when not known.
    """
    served, trial = evidence.served, evidence.trial
    tried_on = trial.cpu if trial is not None and trial.cpu else cpu
    service = served_times(served) or _trial_times(trial)
    if service is None:
        return None
    rows = intent.request_batch
    request, response = _bytes(facts, trial, rows, intent.payload, business)
    front_end, transport = _overheads(served, request + response, business)
    alone = service.alone(rows, 1)
    limit = intent.latency_ms
    taken = max(GOAL_EXECUTIONS * (alone + front_end), GOAL_MIN_S) + transport
    goal = LatencyGoal(
        intent.percentile, taken if limit is None else limit / 1e3, limit is not None
    )
    return ModelProfile(
        name=facts.name,
        service=service,
        measured_on=served.cpu if served is not None else tried_on,
        served=served is not None,
        uncertainty=SERVED_UNCERTAINTY if served is not None else TRIAL_UNCERTAINTY,
        goal=goal,
        rows=rows,
        front_end_s=front_end,
        transport_s=transport,
        pause_s=_seconds(served.pause_ms) if served is not None else 0.0,
        wake_s=_seconds(served.wake_ms) if served is not None else 0.0,
        stalls=stalls_of(served),
        sweep=_sweep(facts.name, evidence, rows, business),
        instance_bytes=instance_memory(trial, facts.weight_bytes),
        request_bytes=request,
        response_bytes=response,
        int8=facts.onnx is not None and bool(facts.onnx.quantized_operators),
    )


def _seconds(ms: float) -> float:
    """Seconds of a lock's milliseconds, which a person may have written: never negative."""
    return max(0.0, ms) / 1e3


def _sweep(name: str, evidence: ModelEvidence, rows: int, business: Business) -> Sweep | None:
    """What was measured at rates, with requests of as many rows.

    They were measured as they are: compressed ones cost the server more.
    """
    served, tuned = evidence.served, evidence.tuned
    compressed = business.clients.compression is Compression.GZIP
    if served is None or tuned is None or compressed:
        return None
    known = sorted(served.rates, key=lambda one: one.per_s)
    seen = tuple(one for one in known if one.per_s > 0.0 and one.rows == rows)
    if not seen:
        return None
    delay = tuned.queue_delay_us
    placed = Placed(
        name,
        tuned.instances,
        tuned.threads,
        tuned.max_batch_size,
        None if delay is None else delay / 1e6,
    )
    return Sweep(placed, served.cpus, _seconds(served.transport_ms), seen)


def _trial_times(trial: Trial | None) -> ServiceTimes | None:
    points = trial_points(trial)
    most = max((point.threads for point in points), default=1)
    return ServiceTimes(points, float(most)) if points else None


def _overheads(served: Served | None, size: int, business: Business) -> tuple[float, float]:
    """CPU time and latency of a request beside its execution, in seconds.

    What was measured came from a client nearby: it stands for the server's own part.
    """
    clients = business.clients
    front_end = FRONT_END_S + size * _BYTE_S
    transport = _TRANSPORT_S[clients.place]
    if served is not None:
        front_end = served.front_end_ms / 1e3
        transport = max(transport, served.transport_ms / 1e3)
    wire = float(size)
    if clients.compression is Compression.GZIP:
        front_end += size * _GZIP_S
        wire *= _GZIP_SIZE
    if clients.place is Place.MOBILE:
        transport += wire / _MOBILE_BYTES_S
    return front_end, transport


def _bytes(
    facts: ModelFacts, trial: Trial | None, rows: int, payload: Payload, business: Business
) -> tuple[int, int]:
    """Bytes of a request and of its answer, compressed where clients compress."""
    seen_in = trial.inputs if trial is not None else ()
    seen_out = trial.outputs if trial is not None else ()
    request, response = payload.request_bytes, payload.response_bytes
    if request is None:
        request = _tensors(facts.inputs, seen_in, rows)
    if response is None:
        response = _tensors(facts.outputs, seen_out, rows)
    share = _GZIP_SIZE if business.clients.compression is Compression.GZIP else 1.0
    return math.ceil(request * share), math.ceil(response * share)


def _tensors(specs: Iterable[TensorSpec], seen: Iterable[ObservedTensor], rows: int) -> int:
    observed = {tensor.name: tensor for tensor in seen}
    total = _HEADER_BYTES
    for spec in specs:
        known = observed.get(spec.name)
        dtype = known.dtype if known is not None else spec.dtype
        shape = known.shape if known is not None else (spec.shape or ())
        count = math.prod(size if isinstance(size, int) and size > 0 else 1 for size in shape)
        total += count * rows * ((dtype.itemsize if dtype is not None else 4) or _STRING_BYTES)
    return total
