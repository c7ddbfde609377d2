"""Execution times: rows on one thread, and one row on several threads.

Points are measured in rounds, one after the other, so that a disturbance of the machine falls on
all of them; the median of the rounds is what counts.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tritongen.model.evidence import Cost
from tritongen.model.samples import InputRecipe, make_inputs
from tritongen.trial.child_request import MEASURED_BATCHES, TrialRequest
from tritongen.trial.runtime import LoadedModel, ModelRuntime, RuntimeRefusal

# A sample repeats short executions until it is long against the clock and the scheduler.
_SAMPLE_S = 0.002
# Chosen: executions of 10 us fill a sample; of shorter ones nothing is planned that is that exact.
_MAX_REPEATS = 200
# Idle threads of another session go on spinning for a moment; they would take a core away.
SETTLE_S = 0.002
# Chosen: a median needs a few rounds. Medians of 25 vary from trial to trial as much as those of 11
# do, by what the machine is at, and made a small model's trial a third longer.
_MIN_ROUNDS, _MAX_ROUNDS = 3, 11
# The part of the budget for rows; threads get the rest.
_ROWS_SHARE = 0.6
# Loading another session is worth it up to this part of what is left.
_LOAD_SHARE = 0.4


@dataclass(slots=True)
class Sampler:
    """Samples one execution.

    Attributes:
        execute: runs the model once.
        max_repeats: executions in a sample at most.
        repeats: executions in a sample, once it is warm.
        samples: seconds of one execution, one a sample.
    """

    execute: Callable[[], object]
    max_repeats: int = _MAX_REPEATS
    repeats: int = 1
    samples: list[float] = field(default_factory=list)

    def warm(self) -> float:
        """Execute until warm; seconds of one execution.

        Raises:
            Whatever `execute` raises.
        """
        self.execute()
        begun = time.perf_counter()
        self.execute()
        seconds = time.perf_counter() - begun
        self.repeats = max(1, min(self.max_repeats, round(_SAMPLE_S / max(seconds, 1e-7))))
        return seconds

    def sample(self) -> None:
        """Take one sample; short executions follow an untimed one that fills the caches."""
        if self.repeats > 1:
            self.execute()
        begun = time.perf_counter()
        for _ in range(self.repeats):
            self.execute()
        self.samples.append((time.perf_counter() - begun) / self.repeats)


@dataclass(slots=True)
class _Point:
    """One combination that is measured."""

    sampler: Sampler
    batch: int
    threads: int
    inter_op: int = 1

    def cost(self) -> Cost:
        """The median of the samples, in milliseconds."""
        samples = self.sampler.samples
        median = statistics.median(samples)
        spread = 0.0
        if len(samples) > 2 and median > 0:
            low, _, high = statistics.quantiles(samples, n=4)
            spread = (high - low) / median
        milliseconds = float(f"{median * 1e3:.4g}")
        return Cost(self.batch, self.threads, milliseconds, round(spread, 3), self.inter_op)


@dataclass(slots=True)
class Stopwatch:
    """Measures one model within a time budget.

    Attributes:
        runtime: loads the further sessions.
        session: the model, loaded with one thread.
        recipes: inputs that ran; axis 0 is widened when batches are measured.
        request: model, threads and seed.
        batched: whether axis 0 is a proven batch axis.
        load_s: seconds that loading took.
    """

    runtime: ModelRuntime
    session: LoadedModel
    recipes: tuple[InputRecipe, ...]
    request: TrialRequest
    batched: bool
    load_s: float

    def rows(self, seconds: float) -> list[Cost]:
        """Costs of 1, 2, 4, … rows on one thread, as far as the seconds reach.

        Without a batch axis, of the inputs as they are.
        """
        end = time.monotonic() + seconds * (_ROWS_SHARE if self._alternatives() else 1.0)
        points: list[_Point] = []
        expected = 0.0
        for batch in MEASURED_BATCHES if self.batched else MEASURED_BATCHES[:1]:
            point = self._point(self.session, batch, threads=1)
            try:
                expected += point.sampler.warm() * point.sampler.repeats
            except RuntimeRefusal:
                break
            points.append(point)
            # The next one takes about as long as all so far together; leave room for the rounds.
            if time.monotonic() + _MIN_ROUNDS * 2 * expected > end:
                break
        _rounds(points, end)
        return [point.cost() for point in points]

    def threads(self, seconds: float) -> Iterator[Cost]:
        """Costs of one row on more threads, and with operators side by side."""
        end = time.monotonic() + seconds
        alternatives = self._alternatives()
        for index, (threads, inter_op) in enumerate(alternatives):
            left = end - time.monotonic()
            if self.load_s > left * _LOAD_SHARE:
                return
            try:
                session = self.runtime.load(
                    Path(self.request.path), threads=threads, inter_op=inter_op
                )
                base = self._point(self.session, 1, threads=1)
                point = self._point(session, 1, threads, inter_op)
                base.sampler.warm()
                point.sampler.warm()
            except RuntimeRefusal:
                return
            share = (end - time.monotonic()) / (len(alternatives) - index)
            _rounds([base, point], time.monotonic() + share, settle=True)
            yield point.cost()

    def _alternatives(self) -> list[tuple[int, int]]:
        """(Threads, inter-op threads) beyond one thread in sequence."""
        most = self.request.threads
        counts = [2**power for power in range(1, most.bit_length()) if 2**power <= most]
        if most > 1 and most not in counts:
            counts.append(most)
        side_by_side = [(1, 2)] if self.request.parallel and most > 1 else []
        return [*side_by_side, *((count, 1) for count in counts)]

    def _point(self, session: LoadedModel, batch: int, threads: int, inter_op: int = 1) -> _Point:
        recipes = [r.with_rows(batch) for r in self.recipes] if self.batched else self.recipes
        inputs = make_inputs(recipes, self.request.seed)
        return _Point(Sampler(partial(session.run, inputs)), batch, threads, inter_op)


def _rounds(points: Sequence[_Point], end: float, *, settle: bool = False) -> None:
    """Sample every point in turn: at least once, at most so often, until the time is over."""
    for count in range(_MAX_ROUNDS):
        for point in points:
            if count and time.monotonic() > end:
                return
            if settle:
                time.sleep(SETTLE_S)
            point.sampler.sample()
