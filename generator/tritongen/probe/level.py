"""One level of load from its first request to its verdict.

Warm-up runs until the data show that it is over, then the measured window runs until its numbers
are precise enough or its time is up. Both use the same uninterrupted load.
"""

import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tritongen.errors import InvalidInputError
from tritongen.probe.generator import Generator, Progress, Records
from tritongen.probe.load_processes import LoadProcesses
from tritongen.probe.recorder import Recorder
from tritongen.probe.schedule import Replay
from tritongen.probe.statistics.intervals import Interval, mean_interval
from tritongen.probe.statistics.measurement import LevelResult, WantedPrecision
from tritongen.probe.workload import Load
from tritongen.queueing import OpenLoop
from tritongen.triton.statistics import ModelStatistics, ServedConfig, ServerUse

_NS = 1_000_000_000
# The first look at the data, then each look this much later than the last one.
_FIRST_LOOK_S = 0.5
_NEXT_LOOK = 1.15
_MAX_STEP_S = 1.0
# So many looks in a row must find the numbers precise, the last a third later than the first: an
# interval may be narrow once by luck, and more so where requests are autocorrelated.
_LOOKS = 3
_MIN_WARM_REQUESTS = 20
_WARMUP_SHARE = 0.25
# Time between reading the statistics and the measured window, for an open loop to catch up.
_SETTLE_NS = 20_000_000
_GONE_S = 1.0
# Before a begin that was set, for connections to be opened. Chosen.
_OPENING_S = 1.0
# Between levels whose begins were set, for descriptions and statistics to be read. Chosen.
_BETWEEN_S = 3.0
_QUICK_DRAIN_S = 0.2
_MAX_BACKLOG_REQUESTS = 20_000


@dataclass(frozen=True, slots=True)
class Conditions:
    """How long to measure, and how precisely.

    Attributes:
        budget_s: longest measured window, seconds.
        fixed: measure for the whole budget, however precise the numbers are before.
        least_s: shortest measured window, seconds.
        precision: what ends the window early.
        warmup_s: longest warm-up, None for a quarter of the budget; 0 leaves it out.
        drain_s: longest wait for answers after the window.
        patience_s: give up after so long without an answer.
        seed: of arrivals.
        requests: the level ends with so many, without warm-up; None for no such end.
        begin_at: the load begins then, seconds since 1970, and warm-up and window take all the time
            that they may; None for now.
    """

    budget_s: float = 10.0
    fixed: bool = False
    least_s: float = 3.0
    precision: WantedPrecision = field(default_factory=WantedPrecision)
    warmup_s: float | None = None
    drain_s: float = 5.0
    patience_s: float = 10.0
    seed: int = 0
    requests: int | None = None
    begin_at: float | None = None

    @property
    def longest_warmup_s(self) -> float:
        """That a level may take."""
        return _WARMUP_SHARE * self.budget_s if self.warmup_s is None else self.warmup_s

    @property
    def period_s(self) -> float:
        """From the begin of a level to that of the next one, where the first one's was set."""
        whole = self.longest_warmup_s + self.budget_s + self.drain_s
        return math.ceil(whole + _OPENING_S + _BETWEEN_S)


# What makes a load: one generator, or several of them in processes of their own.
LoadSource = Generator | LoadProcesses


@dataclass(frozen=True, slots=True)
class ServerReading:
    """The server at one moment.

    Attributes:
        statistics: by model, those of composing models included; empty where there are none.
        configs: by model.
        cpu_s: CPU time of the server's processes so far, None when not readable.
        use: memory, and CPU where only metrics tell it.
    """

    statistics: dict[str, ModelStatistics] = field(default_factory=dict)
    configs: dict[str, ServedConfig] = field(default_factory=dict)
    cpu_s: float | None = None
    use: ServerUse = field(default_factory=ServerUse)


@dataclass(frozen=True, slots=True)
class Update:
    """What is known in the middle of a level, for the live line.

    Attributes:
        phase: ``waiting``, ``warm-up`` or ``measuring``.
        elapsed_s: since the phase began.
        budget_s: longest length of the phase.
        finished: requests finished so far.
        outstanding: requests without an answer.
        throughput: successful requests per second so far, None while there are none.
        percentile: which one `latency_us` is.
        latency_us: that percentile so far, None while there are no requests.
    """

    phase: str
    elapsed_s: float
    budget_s: float
    finished: int
    outstanding: int
    throughput: float | None = None
    percentile: float = 99.0
    latency_us: float | None = None


@dataclass(slots=True)
class Run:
    """The outcome of a level.

    Attributes:
        load: what was asked for.
        conditions: how it was measured.
        records: of all generators together.
        begin_ns: begin of the load.
        mark_ns: begin of the measured window.
        wall_ns: from these moments to nanoseconds since 1970.
        end_ns: end of the measured window.
        before: reading at its begin, None when the server could not be read.
        after: reading after its end.
        at_mark: progress at its begin.
        at_end: progress at its end.
        ended: why it ended early, empty when it did not.
        gone: the server cannot be reached any more, or answers nothing.
        interrupted: number of the signal by which the user ended it, 0 for none.
        results: one for each model, once they were made of the rest.
    """

    load: Load
    conditions: Conditions
    records: Records = field(default_factory=Records)
    begin_ns: int = 0
    mark_ns: int = 0
    wall_ns: int = 0
    end_ns: int = 0
    before: ServerReading | None = None
    after: ServerReading | None = None
    at_mark: Progress = field(default_factory=Progress)
    at_end: Progress = field(default_factory=Progress)
    ended: str = ""
    gone: bool = False
    interrupted: int = 0
    results: list[LevelResult] = field(default_factory=list)

    @property
    def window_s(self) -> float:
        """Length of the measured window, seconds."""
        return max(self.end_ns - self.mark_ns, 1) / _NS


def run_load(
    source: LoadSource,
    load: Load,
    conditions: Conditions,
    read: Callable[[], ServerReading | None],
    tell: Callable[[Update], None] | None = None,
) -> Run:
    """Run one level to its end, whatever happens to the server; Ctrl-C ends it early.

    Raises:
        EnvironmentProblem: TG901, the server cannot be reached at the begin.
        InvalidInputError: TG922, the time at which it was to begin has passed.
    """
    return _LevelRun(source, load, conditions, read, tell, Run(load, conditions)).run()


@dataclass(frozen=True, slots=True)
class _LevelRun:
    source: LoadSource
    load: Load
    conditions: Conditions
    read: Callable[[], ServerReading | None]
    tell: Callable[[Update], None] | None
    outcome: Run

    def run(self) -> Run:
        run, source = self.outcome, self.source
        if not self._warmup_limit():
            run.before = self.read()
        begin_ns = self._begin()
        source.start(begin_ns)
        try:
            try:
                now_ns = source.progress().now_ns
                run.begin_ns = max(now_ns, begin_ns or 0)
                run.wall_ns = time.time_ns() - now_ns
                self._warm_up()
                if not run.ended:
                    self._enter_window()
                    self._measure()
            except KeyboardInterrupt as signalled:
                run.ended, run.interrupted = "interrupted", signal_of(signalled)
            run.at_end = source.progress()
            quick = run.gone or run.interrupted
            run.end_ns = source.finish(_QUICK_DRAIN_S if quick else self.conditions.drain_s)
            run.after = None if run.gone else self.read()
            run.records = source.records()
        finally:
            source.stop()
        if not run.mark_ns or (run.ended and not any(r.successes for r in run.records.main)):
            self._promote_warmup()
        return run

    def _begin(self) -> int | None:
        """Wait for the begin that was set, and tell it by the clock of the load; None for now."""
        begin_at = self.conditions.begin_at
        if begin_at is None:
            return None
        whole = left = begin_at - time.time()
        if left < 0.0:
            what = f"the load was to begin {-left:.0f} s ago"
            raise InvalidInputError("TG922", what, where="--start-at")
        while left > _OPENING_S:
            if self.tell is not None:
                self.tell(Update("waiting", whole - left, whole, 0, 0))
            time.sleep(min(left - _OPENING_S, _MAX_STEP_S))
            left = begin_at - time.time()
        return self.source.progress().now_ns + round(left * _NS)

    def _promote_warmup(self) -> None:
        """The level ended before its window told anything: the warm-up is better than nothing."""
        run = self.outcome
        for warmup, main in zip(run.records.warmup, run.records.main, strict=False):
            warmup.take_failures_of(main)
        run.mark_ns = run.begin_ns
        run.at_mark = Progress()
        run.records.main = run.records.warmup
        run.records.warmup = [Recorder(run.begin_ns) for _ in run.records.main]

    def _enter_window(self) -> None:
        run = self.outcome
        warmed = bool(self._warmup_limit())
        if warmed:
            run.before = self.read()
            self.source.run(self.source.progress().now_ns + _SETTLE_NS)
        run.mark_ns = self.source.mark(from_begin=not warmed)
        if not warmed:
            run.begin_ns = run.mark_ns
        run.at_mark = self.source.progress()

    def _warm_up(self) -> None:
        """Run until a cut in the first half of the data makes the rest steady."""
        limit = self._warmup_limit()
        if not limit:
            return
        look = min(_FIRST_LOOK_S, limit)
        while True:
            if self._advance(look, "warm-up", limit):
                return
            now = self.source.progress().now_ns
            if now >= self.outcome.begin_ns + round(limit * _NS):
                return
            if self.conditions.begin_at is None and self._is_warm(now):
                return
            look = min(look * _NEXT_LOOK, limit)

    def _warmup_limit(self) -> float:
        """Longest warm-up, seconds; 0 for none: a schedule is measured from its begin."""
        if isinstance(self.load, Replay) or self.conditions.requests is not None:
            return 0.0
        return self.conditions.longest_warmup_s

    def _is_warm(self, now_ns: int) -> bool:
        for recorder in self.source.records().warmup:
            cut, used = recorder.warmup_slots(now_ns), recorder.used_slots(now_ns)
            if recorder.successes < _MIN_WARM_REQUESTS or cut * 2 >= used:
                return False
        return True

    def _measure(self) -> None:
        """Run until the numbers are precise or the time is up."""
        conditions = self.conditions
        budget = conditions.budget_s
        if isinstance(self.load, Replay):
            budget = min(budget, self.load.schedule.duration_s)
        whole = conditions.fixed or conditions.requests is not None
        whole = whole or conditions.begin_at is not None
        look = budget if whole else min(max(conditions.least_s, _FIRST_LOOK_S), budget)
        precise = 0
        while not self.outcome.ended:
            if self._advance(look, "measuring", budget):
                return
            if self.source.progress().exhausted or look >= budget:
                return
            precise = precise + 1 if self._is_precise() else 0
            if precise == _LOOKS:
                return
            look = min(look * _NEXT_LOOK, budget)

    def _is_precise(self) -> bool:
        if isinstance(self.load, Replay):
            return False
        now = self.source.progress().now_ns
        precision = self.conditions.precision
        fraction, confidence = precision.percentile / 100.0, precision.confidence
        for recorder in self.source.records().main:
            stretch, rate = recorder.stretch(0, now), throughput(recorder, 0, now, confidence)
            if not precision.reached(rate, stretch.quantile(fraction, confidence)):
                return False
            if not stretch.tells_enough(fraction, confidence):
                return False
        return True

    def _advance(self, until_s: float, phase: str, budget_s: float) -> bool:
        """Run until so many seconds after the phase began; True when the level must end."""
        begin = self.outcome.mark_ns or self.outcome.begin_ns
        until = begin + round(until_s * _NS)
        now = self.source.progress().now_ns
        while now < until:
            self.source.run(min(until, now + round(_MAX_STEP_S * _NS)))
            progress = self.source.progress()
            self._report(progress, phase, max((progress.now_ns - begin) / _NS, 0.0), budget_s)
            if self._is_hopeless(progress):
                return True
            if progress.exhausted:
                return False
            now = progress.now_ns
        return False

    def _report(self, progress: Progress, phase: str, elapsed_s: float, budget_s: float) -> None:
        if self.tell is None:
            return
        percentile = self.conditions.precision.percentile
        rate, latency = None, None
        # A glance that costs next to nothing: the load waits while it is taken.
        for recorder in self.source.records().main[:1]:
            if recorder.successes:
                rate = float(recorder.completed.sum()) / elapsed_s
                latency = recorder.everything.quantile(percentile / 100.0) / 1e3
        counts = (progress.finished, progress.outstanding)
        self.tell(Update(phase, elapsed_s, budget_s, *counts, rate, percentile, latency))

    def _is_hopeless(self, progress: Progress) -> bool:
        """Whether going on cannot give better numbers; says why."""
        run, silent_s = self.outcome, (progress.now_ns - progress.last_success_ns) / _NS
        if progress.lost and silent_s > _GONE_S:
            run.ended, run.gone = "the server cannot be reached any more", True
        elif progress.outstanding and silent_s > self._patience_s():
            run.ended = f"no right answer for {silent_s:.0f} s"
            run.gone = True
        elif progress.outstanding > _MAX_BACKLOG_REQUESTS:
            run.ended = f"{progress.outstanding} requests without an answer"
        return bool(run.ended)

    def _patience_s(self) -> float:
        """Longer than the gaps of a slow open loop."""
        if isinstance(self.load, OpenLoop):
            return max(self.conditions.patience_s, 10.0 / self.load.rate_per_s)
        return self.conditions.patience_s


def signal_of(interrupt: KeyboardInterrupt) -> int:
    """The signal behind an interrupt; Ctrl-C where it does not say."""
    return int(getattr(interrupt, "number", signal.SIGINT))


def throughput(recorder: Recorder, first: int, end_ns: int, confidence: float) -> Interval | None:
    """Successful requests per second from a slot on, None without any."""
    used = recorder.used_slots(end_ns)
    seconds = [recorder.slot_ns / _NS] * (used - first)
    if not seconds:
        return None
    seconds[-1] = max((end_ns - recorder.begin_ns) / _NS - (used - 1) * recorder.slot_ns / _NS, 0.0)
    completed: Sequence[float] = recorder.completed[first:used].tolist()
    if sum(completed) == 0:
        return None
    return mean_interval(seconds, completed, confidence)
