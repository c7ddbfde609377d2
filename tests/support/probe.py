"""An engine with a clock of its own, so that loads of minutes are measured in milliseconds.

`VirtualEngine` answers each request after the time that a function gives; what it measures is
exact, and can be held against closed forms.
"""

import heapq
import itertools
import math
import random
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tritongen.probe.engines.slot_engine import Engine
from tritongen.probe.generator import Generator, Progress, Records
from tritongen.probe.level import Conditions, Run, ServerReading, run_load
from tritongen.probe.load_engine import LoadTarget, Log, RequestPlan
from tritongen.probe.recorder import Durations, Recorder
from tritongen.probe.results import level_results
from tritongen.probe.statistics.attribution import Execution, attribute
from tritongen.probe.statistics.histogram import Histogram
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import (
    ClientCost,
    LatencySummary,
    LevelLabels,
    LevelResult,
    LevelVerdict,
    RequestCounts,
)
from tritongen.probe.workload import Load
from tritongen.queueing import ClosedLoop
from tritongen.triton.messages import ExpectedResponse, TensorMeta

SECOND = 1_000_000_000

# (number of the request, moment at which it was sent) → moment at which it is answered.
Service = Callable[[int, int], int]


class VirtualClock:
    """A clock that stands until somebody moves it."""

    def __init__(self) -> None:
        self.now = 1_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


def a_plan(name: str = "m", share: float = 1.0) -> RequestPlan:
    output = TensorMeta("OUT", "FP32", (-1, 4))
    return RequestPlan(name, share, [[b"one", b"two"]], ExpectedResponse(name, {"OUT": output}, 1))


@dataclass
class VirtualEngine:
    """See `tritongen.probe.engines.slot_engine.SlotEngine`."""

    clock: VirtualClock
    service: Service
    plans: Sequence[RequestPlan] = field(default_factory=lambda: [a_plan()])
    max_outstanding: int = 1 << 30
    fails: Callable[[int], str] = lambda _: ""
    name: str = "virtual"
    closed: bool = True
    outstanding: int = 0
    lost: int = 0

    def __post_init__(self) -> None:
        self.targets: Sequence[LoadTarget] = [LoadTarget(plan) for plan in self.plans]
        self.last_success_ns = self.clock()
        self._answers: list[tuple[int, int, int, int, int]] = []
        self._numbers = itertools.count()
        self._pending: deque[tuple[int, int]] = deque()
        self._sending = False
        self._slots = 0

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def open(self, slots: int, *, closed: bool, max_outstanding: int | None = None) -> None:
        if max_outstanding is not None:
            self.max_outstanding = max_outstanding
        self.closed, self._sending, self._slots = closed, True, slots

    @property
    def sending(self) -> bool:
        return self._sending

    def start(self, requests: int | None = None) -> None:
        assert requests is None, "counted loads are for real engines"
        for index in range(self._slots):
            self._send(index % len(self.targets), self.clock())

    def _send(self, target: int, intended: int) -> None:
        number, now = next(self._numbers), self.clock()
        self.outstanding += 1
        heapq.heappush(self._answers, (self.service(number, now), number, target, intended, now))

    def submit(self, target: int, intended_ns: int) -> None:
        if self.outstanding >= self.max_outstanding:
            self._pending.append((target, intended_ns))
        else:
            self._send(target, intended_ns)

    def serve(self, until_ns: int) -> None:
        self.advance(until_ns)

    def poll(self, timeout_s: float) -> None:
        self.advance(self.clock.now + max(round(timeout_s * 1e9), 1))

    def advance(self, until_ns: int) -> None:
        """Let time pass, and with it the answers come."""
        while self._answers and self._answers[0][0] <= until_ns:
            done, number, target, intended, sent = heapq.heappop(self._answers)
            self.clock.now = max(self.clock.now, done)
            self._answer(number, target, intended, sent, done)
        self.clock.now = max(self.clock.now, until_ns)

    def _answer(self, number: int, target: int, intended: int, sent: int, done: int) -> None:
        self.outstanding -= 1
        log = self.targets[target].log
        code = self.fails(number)
        if code:
            log.fail(sent if self.closed else intended, sent, done, code, f"{code} on purpose")
        else:
            if not self.closed:
                log.intended.append(intended)
            log.sent.append(sent)
            log.done.append(done)
            self.last_success_ns = done
        if self.closed and self._sending:
            self._send(target, done)
        elif self._pending:
            self._send(*self._pending.popleft())

    def watch(self, descriptor: int) -> None: ...

    def inspect(self) -> None: ...

    def stop_sending(self) -> None:
        self._sending = False
        self._pending.clear()

    def check_timeouts(self, now_ns: int) -> None: ...

    def cancel_outstanding(self) -> int:
        count = self.outstanding
        for _, _, target, intended, sent in self._answers:
            self.targets[target].log.fail(intended, sent, self.clock(), "UNFINISHED", "at the end")
        self._answers.clear()
        self.outstanding = 0
        return count

    def close(self) -> None: ...


class VirtualPacer:
    """Waits on the virtual clock, and is never late unless it is told to be."""

    def __init__(self, engine: Engine, late_ns: int = 0) -> None:
        assert isinstance(engine, VirtualEngine)
        self._engine, self._late = engine, late_ns
        self.spun_ns = 0

    def wait(self, due_ns: int) -> int:
        self._engine.advance(due_ns + self._late)
        return self._engine.clock()

    def close(self) -> None: ...


class ReplayedLoad:
    """A closed loop of one client whose latencies are given: thousands of levels in seconds.

    See `tritongen.probe.generator.Generator` for the calls.
    """

    def __init__(self, latencies_ns: NDArray[np.int64]) -> None:
        self._begin = SECOND
        self._done = self._begin + np.cumsum(latencies_ns)
        self._sent = self._done - latencies_ns
        self._now, self._taken = self._begin, 0
        self._records = Records()

    def start(self, begin_ns: int | None = None) -> None:
        assert begin_ns is None
        self._records.warmup = [Recorder(self._begin)]

    def run(self, until_ns: int) -> None:
        upto = int(np.searchsorted(self._done, until_ns))
        log, part = Log(), slice(self._taken, upto)
        log.sent.frombytes(self._sent[part].tobytes())
        log.done.frombytes(self._done[part].tobytes())
        self._records.main[0].take(log, closed=True, window=(0, 1 << 62))
        self._now, self._taken = until_ns, upto

    def mark(self, *, from_begin: bool = False) -> int:
        assert from_begin
        self._records.main = [Recorder(self._begin)]
        return self._begin

    def finish(self, drain_s: float) -> int:
        del drain_s  # every answer is there
        return self._now

    def stop(self) -> None: ...

    def progress(self) -> Progress:
        return Progress(now_ns=self._now, last_success_ns=self._now, finished=self._taken)

    def records(self) -> Records:
        return self._records


def constant(seconds: float) -> Service:
    """Every request takes as long, however many there are."""
    return lambda _, sent: sent + round(seconds * SECOND)


def uniform(low: float, high: float, seed: int = 1) -> Service:
    """Uniformly between two times, however many requests there are."""
    draw = random.Random(seed)
    return lambda _, sent: sent + round(draw.uniform(low, high) * SECOND)


def one_server(mean_s: float, seed: int = 1) -> Service:
    """One after the other in the order of their sending, exponential service: M/M/1."""
    draw = random.Random(seed)
    free = 0

    def serve(_: int, sent: int) -> int:
        nonlocal free
        free = max(free, sent) + round(draw.expovariate(1.0 / mean_s) * SECOND)
        return free

    return serve


def stalling(every_s: float, stall_s: float, service_s: float) -> Service:
    """Any number at a time, but nothing is answered for a while in every period."""
    every, stall, service = (round(x * SECOND) for x in (every_s, stall_s, service_s))

    def serve(_: int, sent: int) -> int:
        phase = sent % every
        return sent + service + (stall - phase if phase < stall else 0)

    return serve


def autocorrelated(mean_s: float, phi: float, seed: int = 1) -> Service:
    """Lognormal latencies whose logarithms follow an AR(1) process."""
    draw, state = random.Random(seed), 0.0

    def serve(_: int, sent: int) -> int:
        nonlocal state
        state = phi * state + math.sqrt(1 - phi * phi) * draw.gauss(0.0, 1.0)
        return sent + round(mean_s * math.exp(0.3 * state) * SECOND)

    return serve


def virtual_run(
    service: Service,
    load: Load,
    conditions: Conditions,
    *,
    read: Callable[[], ServerReading | None] = lambda: None,
    late_ns: int = 0,
    **engine: object,
) -> tuple[Run, list[LevelResult]]:
    """One level on a virtual engine."""
    clock = VirtualClock()
    made = VirtualEngine(clock, service, **engine)  # type: ignore[arg-type]  # a test's options
    generator = Generator(
        made, load, conditions.seed, clock=clock, pacer=lambda e: VirtualPacer(e, late_ns)
    )
    run = run_load(generator, load, conditions, read)
    subjects = [
        LevelLabels(plan.name, "", 1, plan.share, 0, "http", made.name) for plan in made.plans
    ]
    return run, level_results(run, subjects)


def virtual_level(
    service: Service, load: Load, conditions: Conditions, **options: object
) -> LevelResult:
    """The result of one level with one model on a virtual engine."""
    return virtual_run(service, load, conditions, **options)[1][0]  # type: ignore[arg-type]  # a test's options


def filled_log(sent: Sequence[int], done: Sequence[int], intended: Sequence[int] = ()) -> Log:
    """A log as an engine would have left it."""
    return Log(array("q", intended), array("q", sent), array("q", done))


def durations_of(values_ns: Iterable[int]) -> Durations:
    """These durations, counted."""
    found = Durations()
    found.add(np.array(list(values_ns), dtype=np.int64))
    return found


def histogram_of(values_ns: Iterable[int]) -> Histogram:
    """The histogram of these durations."""
    return durations_of(values_ns).histogram()


def a_level(
    model: str = "m",
    load: Load | None = None,
    rate: float = 100.0,
    latencies_us: Sequence[float] = tuple(range(1_000, 2_000)),
    verdict: LevelVerdict = LevelVerdict.VALID,
    failed: int = 0,
) -> LevelResult:
    """A complete result, for reports."""
    histogram = histogram_of([round(value * 1e3) for value in latencies_us])
    percentiles = {
        key: Interval(value, value * 0.95, value * 1.05)
        for key, fraction in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))
        if (value := histogram.quantile(fraction) / 1e3) == value
    }
    mean = Interval(histogram.mean_ns / 1e3, 1.0, 2.0) if histogram.total else None
    summary = LatencySummary({**percentiles, "p999": None}, mean, histogram.max_ns / 1e3, histogram)
    own = Execution(model, 1000, 1000, 1.0, 0.5, 100.0, 10.0, 700.0, 20.0)
    failures = {"HTTP 503": failed} if failed else {}
    return LevelResult(
        model=model,
        load=load or ClosedLoop(8),
        verdict=verdict,
        reason="for a test",
        duration_s=10.0,
        warmup_s=0.5,
        throughput=Interval(rate, rate * 0.97, rate * 1.03),
        latency=summary,
        latency_all=summary,
        service=summary,
        requests=RequestCounts(len(latencies_us) + failed, len(latencies_us), failed, failures),
        client=ClientCost(12.5, 0.2, summary),
        attribution=attribute(own, (), 1500.0, 0.0, 12.5),
        engine="virtual",
    )
