"""One process's share of a load: drives an engine through warm-up, measurement and drain."""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tritongen.probe.engines.slot_engine import Engine
from tritongen.probe.load_engine import clock_ns
from tritongen.probe.pacer import Pacer
from tritongen.probe.recorder import Recorder
from tritongen.probe.schedule import arrivals, picks
from tritongen.probe.workload import Load
from tritongen.queueing import ClosedLoop

# Between looks at time-outs and records; while draining, between looks for the end. Chosen.
_TICK_NS = 250_000_000
_DRAIN_TICK_NS = 10_000_000
_FOREVER = 1 << 62
# An open loop begins a little later than it is set up.
_LEAD_NS = 2_000_000
_FIRST_CONNECTIONS = 8
# Book-keeping waits for a gap of this length between due times, but not longer than the slack.
_GAP_NS = 400_000
_SLACK_NS = 50_000_000


@dataclass(slots=True)
class Progress:
    """Where a generator stands.

    Attributes:
        now_ns: when this was read.
        outstanding: requests without an answer, waiting ones included.
        capped: requests that had to wait for a free slot so far.
        last_success_ns: when an answer last was right.
        lost: connections that could not be opened since then.
        exhausted: the schedule has come to its end.
        cpu_ns: CPU time that this process has taken since the load began.
        request_ns: of that, spent on requests: neither on waiting for due times nor on keeping
            the books.
        finished: requests finished since then.
    """

    now_ns: int = 0
    outstanding: int = 0
    capped: int = 0
    last_success_ns: int = 0
    lost: int = 0
    exhausted: bool = False
    cpu_ns: int = 0
    request_ns: int = 0
    finished: int = 0


@dataclass(slots=True)
class Records:
    """What a generator recorded, one entry a model in each list.

    Attributes:
        warmup: what was due before the measured window.
        main: what was due in it; empty before it began.
        due: requests due in the window so far, of open loops.
        unsent: of those, never sent.
        unfinished: without an answer when the drain ended.
    """

    warmup: list[Recorder] = field(default_factory=list)
    main: list[Recorder] = field(default_factory=list)
    due: int = 0
    unsent: int = 0
    unfinished: int = 0


class Generator:
    """Makes one load with one engine. Create, `start`, `run`, `mark`, `run`, `finish`."""

    def __init__(
        self,
        engine: Engine,
        load: Load,
        seed: int,
        part: int = 0,
        parts: int = 1,
        clock: Callable[[], int] = clock_ns,
        pacer: Callable[[Engine], Pacer] = Pacer,
        requests: int | None = None,
    ) -> None:
        """Prepare a load.

        Args:
            engine: opened by this object, closed by its owner.
            load: the whole of it.
            seed: of the arrivals.
            part: which share of it this generator makes, from 0.
            parts: number of shares.
            clock: monotonic nanoseconds, the same that the engine uses.
            pacer: makes what waits for due times.
            requests: of the whole load, which then ends; None for no end.
        """
        self._clock, self._make_pacer = clock, pacer
        self._engine = engine
        self._load = load
        self._seed, self._part, self._parts = seed, part, parts
        self._begin = self._mark = self._end = _FOREVER
        self._records = Records()
        self._cpu_begin = 0
        self._finished = 0
        self._requests = None if requests is None else self._share(requests)
        self._to_come = _FOREVER if self._requests is None else self._requests
        self._last_ns = 0
        self._request_ns = 0
        self._capped = 0
        self._blocks: Iterator[list[int]] = iter(())
        self._block: list[int] = []
        self._position = 0
        self._next_due = _FOREVER
        self._pacer: Pacer | None = None
        self._picks = picks(seed, [target.plan.share for target in engine.targets])
        self._collecting = gc.isenabled()
        self._opened = False

    @property
    def closed(self) -> bool:
        """Whether the loop is closed."""
        return isinstance(self._load, ClosedLoop)

    def open(self) -> None:
        """Open connections, as `start` does where that was not done.

        Raises:
            EnvironmentProblem: TG901, the server cannot be reached.
        """
        cap = self._cap()
        slots = self._slots() if cap is None else min(self._slots(), cap)
        self._engine.open(slots, closed=self.closed, max_outstanding=cap)
        gc.collect()
        self._opened = True

    def start(self, begin_ns: int | None = None) -> None:
        """Begin, at that moment or at once; raises what `open` does."""
        if not self._opened:
            self.open()
        gc.disable()
        lead = 0 if self.closed else _LEAD_NS
        self._begin = max(self._clock() + lead, begin_ns or 0)
        self._records.warmup = [Recorder(self._begin) for _ in self._engine.targets]
        self._cpu_begin = time.process_time_ns()
        if isinstance(self._load, ClosedLoop):
            time.sleep(max(self._begin - self._clock(), 0) / 1e9)
            self._engine.start(self._requests)
        else:
            self._pacer = self._make_pacer(self._engine)
            self._blocks = arrivals(self._load, self._seed, self._part, self._parts)
            self._advance()

    def _slots(self) -> int:
        """Requests that this part has outstanding in a closed loop; connections to begin with."""
        if not isinstance(self._load, ClosedLoop):
            return len(self._engine.targets) * _FIRST_CONNECTIONS
        return min(self._share(self._load.concurrency), self._to_come)

    def _cap(self) -> int | None:
        """Requests that this part may have outstanding in an open loop, at least one a model."""
        if isinstance(self._load, ClosedLoop) or self._load.max_outstanding is None:
            return None
        return max(self._share(self._load.max_outstanding), len(self._engine.targets))

    def _share(self, whole: int) -> int:
        base, more = divmod(whole, self._parts)
        return base + (self._part < more)

    def run(self, until_ns: int) -> None:
        """Make the load until that moment."""
        now = self._clock()
        while now < until_ns and not self._over():
            tick = min(until_ns, now + _TICK_NS)
            cpu = time.process_time_ns()
            if self.closed:
                self._engine.serve(tick)
            else:
                self._run_open(tick)
            self._request_ns += time.process_time_ns() - cpu
            now = self._clock()
            self._engine.check_timeouts(now)
            self._engine.inspect()
            self._flush(now)

    def _over(self) -> bool:
        ended = not self._engine.sending if self.closed else self._next_due == _FOREVER
        return ended and not self._engine.outstanding

    def _run_open(self, until_ns: int) -> None:
        pacer, engine = self._pacer, self._engine
        assert pacer is not None  # noqa: S101  (`start` made it)
        now = self._clock()
        latest = until_ns + _SLACK_NS
        while now < until_ns or (self._next_due - now < _GAP_NS and now < latest):
            while self._next_due <= now:
                if engine.waiting:
                    self._capped += 1
                self._records.due += 1
                engine.submit(next(self._picks), self._next_due)
                self._advance()
            now = pacer.wait(min(self._next_due, until_ns if now < until_ns else latest))

    def _advance(self) -> None:
        """Find the next due time."""
        if not self._to_come:
            self._next_due = _FOREVER
            return
        self._to_come -= 1
        while self._position == len(self._block):
            block = next(self._blocks, None)
            if block is None:
                self._next_due = _FOREVER
                return
            self._block, self._position = block, 0
        self._next_due = self._begin + self._block[self._position]
        self._position += 1

    def _flush(self, now: int) -> None:
        """Move what the engine logged into the records."""
        outstanding = self._engine.outstanding + self._engine.waiting
        for index, target in enumerate(self._engine.targets):
            log = target.log
            self._finished += len(log.done) + len(log.failures)
            if log.done or log.failures:
                ends = (*log.done[-1:], *(failure[2] for failure in log.failures[-1:]))
                self._last_ns = max(self._last_ns, *ends)
                window = (self._begin if not self.closed else 0, self._mark)
                self._records.warmup[index].take(log, closed=self.closed, window=window)
                if self._records.main:
                    window = (self._mark, self._end)
                    self._records.main[index].take(log, closed=self.closed, window=window)
                log.clear()
            if now < self._end:
                current = self._records.main or self._records.warmup
                current[index].see_outstanding(now, outstanding)

    def mark(self, *, from_begin: bool = False, at_ns: int | None = None) -> int:
        """The measured window begins now; returns the moment.

        Args:
            from_begin: it has begun with the load.
            at_ns: it has begun at that moment just past.
        """
        self._flush(self._clock())
        self._mark = self._begin if from_begin else at_ns or self._clock()
        self._records.main = [Recorder(self._mark) for _ in self._engine.targets]
        if not from_begin:
            self._capped = 0
            self._records.due = 0
        return self._mark

    def finish(self, drain_s: float, at_ns: int | None = None) -> int:
        """The window ends now: send no more, wait for answers; returns the moment.

        Args:
            drain_s: longest wait; what is then without an answer is counted as unfinished.
            at_ns: the moment just past that ends the window, None for now.
        """
        now = self._clock()
        self._flush(now)
        self._end = at_ns or now
        if self._requests is not None and self._over():
            self._end = self._last_ns + 1
        self._records.unsent = self._engine.waiting
        self._engine.stop_sending()
        limit = now + round(drain_s * 1e9)
        while self._engine.outstanding and now < limit:
            if self.closed:
                self._engine.serve(min(limit, now + _DRAIN_TICK_NS))
            else:
                self._engine.poll(_DRAIN_TICK_NS / 1e9)
            now = self._clock()
            self._engine.check_timeouts(now)
        self._records.unfinished = self._engine.cancel_outstanding()
        self._flush(self._clock())
        self.stop()
        return self._end

    def stop(self) -> None:
        """Put back what `start` changed; `finish` does it, too."""
        if self._pacer is not None:
            self._request_ns = max(self._request_ns - self._pacer.spun_ns, 0)
            self._pacer.close()
            self._pacer = None
        if self._collecting:
            gc.enable()

    def progress(self) -> Progress:
        """Where the load stands."""
        return Progress(
            now_ns=self._clock(),
            outstanding=self._engine.outstanding + self._engine.waiting,
            capped=self._capped,
            last_success_ns=self._engine.last_success_ns,
            lost=self._engine.lost,
            exhausted=self._over(),
            cpu_ns=time.process_time_ns() - self._cpu_begin,
            request_ns=max(self._request_ns - (self._pacer.spun_ns if self._pacer else 0), 0),
            finished=self._finished,
        )

    def records(self) -> Records:
        """What was recorded so far; the recorders go on being filled."""
        return self._records
