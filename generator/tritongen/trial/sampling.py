"""Execution times of one model on one set of inputs, sample by sample."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

# A sample repeats short executions until it is long against the clock and the scheduler.
_SAMPLE_S = 0.002
# Chosen: executions of 4 us fill a sample; shorter ones are told apart well enough.
_MAX_REPEATS = 500
# Idle threads of another session go on spinning for a moment; they would take a core away.
SETTLE_S = 0.002


@dataclass(slots=True)
class Sampler:
    """Samples one execution.

    Attributes:
        execute: runs the model once.
        repeats: executions in a sample, once it is warm.
        samples: seconds of one execution, one a sample.
    """

    execute: Callable[[], object]
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
        self.repeats = max(1, min(_MAX_REPEATS, round(_SAMPLE_S / max(seconds, 1e-7))))
        return seconds

    def sample(self) -> None:
        """Take one sample; short executions follow an untimed one that fills the caches."""
        if self.repeats > 1:
            self.execute()
        begun = time.perf_counter()
        for _ in range(self.repeats):
            self.execute()
        self.samples.append((time.perf_counter() - begun) / self.repeats)
