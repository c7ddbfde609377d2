"""Counters of a model over time: from readings that may restart to what happened in each step."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class ModelCounters:
    """Counters of one model, sums since it was loaded or over a stretch of time.

    Attributes:
        requests: successful ones.
        failures: failed ones.
        inferences: rows.
        executions: batches.
        request_us: summed over successful requests, as are the next two.
        queue_us: in the queue.
        compute_us: preparing inputs, executing, extracting outputs.
        executed_us: summed over executions; 0 where the server does not tell.
    """

    requests: float = 0.0
    failures: float = 0.0
    inferences: float = 0.0
    executions: float = 0.0
    request_us: float = 0.0
    queue_us: float = 0.0
    compute_us: float = 0.0
    executed_us: float = 0.0

    def plus(self, other: "ModelCounters") -> "ModelCounters":
        """The sum of both."""
        return ModelCounters(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        )

    def part(self, share: float) -> "ModelCounters":
        """That share of it."""
        return ModelCounters(*(getattr(self, f.name) * share for f in fields(self)))

    def since(self, earlier: "ModelCounters") -> "ModelCounters":
        """What came after an earlier reading; all of this one where counters were reset."""
        if self.restarted(earlier):
            return self
        return ModelCounters(
            *(max(0.0, getattr(self, f.name) - getattr(earlier, f.name)) for f in fields(self))
        )

    def restarted(self, earlier: "ModelCounters") -> bool:
        """Whether counters fell: the server or the model was loaded again."""
        return (
            self.requests < earlier.requests
            or self.executions < earlier.executions
            or self.failures < earlier.failures
        )


@dataclass(frozen=True, slots=True)
class CounterReading:
    """Counters of one model at one time.

    Attributes:
        at_s: seconds since 1970.
        counters: sums since the model was loaded.
    """

    at_s: float
    counters: ModelCounters


@dataclass(frozen=True, slots=True)
class CounterStep:
    """What happened between two readings."""

    begin_s: float
    end_s: float
    counters: ModelCounters

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end_s - self.begin_s

    @property
    def rate(self) -> float:
        """Requests per second, failed ones included: they were asked for."""
        return (self.counters.requests + self.counters.failures) / self.seconds


@dataclass(frozen=True, slots=True)
class Observed:
    """One model over a stretch of time.

    Attributes:
        model: its name.
        steps: in order of time, without overlap.
        restarts: times that counters were reset.
        sources: servers whose counters were added up.
        alike: servers that each observed one stands for.
    """

    model: str
    steps: tuple[CounterStep, ...]
    restarts: int = 0
    sources: int = 1
    alike: int = 1

    @property
    def seconds(self) -> float:
        """Time covered by steps."""
        return math.fsum(step.seconds for step in self.steps)

    @property
    def total(self) -> ModelCounters:
        """All steps together."""
        total = ModelCounters()
        for step in self.steps:
            total = total.plus(step.counters)
        return total

    @property
    def rate(self) -> float:
        """Mean requests per second."""
        total = self.total
        return (total.requests + total.failures) / self.seconds if self.steps else 0.0

    @property
    def peak(self) -> float:
        """Requests per second of the busiest step."""
        return max((step.rate for step in self.steps), default=0.0)

    @property
    def failure_share(self) -> float:
        """Failed requests divided by all."""
        total = self.total
        whole = total.requests + total.failures
        return total.failures / whole if whole else 0.0

    @property
    def batch(self) -> float | None:
        """Rows in one execution, None without executions."""
        total = self.total
        return total.inferences / total.executions if total.executions else None

    @property
    def queue_us(self) -> float | None:
        """Mean microseconds of a request in the queue, None without requests."""
        total = self.total
        return total.queue_us / total.requests if total.requests else None

    @property
    def compute_us(self) -> float | None:
        """Mean microseconds of a request's execution, None without requests."""
        total = self.total
        return total.compute_us / total.requests if total.requests else None

    @property
    def request_us(self) -> float | None:
        """Mean microseconds of a request inside the server, None without requests."""
        total = self.total
        return total.request_us / total.requests if total.requests else None

    def times(self, servers: int) -> "Observed":
        """The counters of so many servers that share the traffic evenly, of which this is one."""
        steps = tuple(replace(step, counters=step.counters.part(servers)) for step in self.steps)
        return replace(
            self, steps=steps, sources=self.sources * servers, alike=self.alike * servers
        )

    def busy(self, instances: int | None) -> float | None:
        """Share of the instances' time spent executing.

        Args:
            instances: of all servers together, None when not known.
        """
        total = self.total
        if not instances or not self.steps or not total.requests:
            return None
        executed = total.executed_us
        if not executed:
            # Each request of a batch counts the whole execution.
            executed = total.compute_us * total.executions / total.requests
        return executed / 1e6 / (instances * self.seconds)

    def coarser(self, seconds: float) -> "Observed":
        """With steps joined until each is about that long."""
        joined: list[CounterStep] = []
        for step in self.steps:
            last = joined[-1] if joined else None
            if last is not None and last.seconds < seconds * 0.999 and last.end_s == step.begin_s:
                joined[-1] = CounterStep(
                    last.begin_s, step.end_s, last.counters.plus(step.counters)
                )
            else:
                joined.append(step)
        return replace(self, steps=tuple(joined))


def observed(model: str, readings: Sequence[CounterReading]) -> Observed:
    """What one server did between the readings of one model."""
    ordered = sorted(readings, key=lambda reading: reading.at_s)
    steps = tuple(
        CounterStep(before.at_s, after.at_s, after.counters.since(before.counters))
        for before, after in pairwise(ordered)
        if after.at_s > before.at_s
    )
    restarts = sum(after.counters.restarted(before.counters) for before, after in pairwise(ordered))
    return Observed(model, steps, restarts)


def merged(model: str, parts: Iterable[Observed]) -> Observed:
    """Several servers of one model, read at the same times, as one.

    A time that only some of them cover counts with those: a replica that came later did nothing
    before.
    """
    known = tuple(parts)
    times = sorted(
        {at for part in known for step in part.steps for at in (step.begin_s, step.end_s)}
    )
    place = {at: index for index, at in enumerate(times)}
    cells: list[ModelCounters | None] = [None] * max(0, len(times) - 1)
    for part in known:
        for step in part.steps:
            # A step over a hole is spread evenly over those of the other servers.
            for index in range(place[step.begin_s], place[step.end_s]):
                share = (times[index + 1] - times[index]) / step.seconds
                cells[index] = (cells[index] or ModelCounters()).plus(step.counters.part(share))
    steps = tuple(
        CounterStep(times[index], times[index + 1], cell)
        for index, cell in enumerate(cells)
        if cell is not None
    )
    return Observed(model, steps, sum(part.restarts for part in known), max(1, len(known)))
