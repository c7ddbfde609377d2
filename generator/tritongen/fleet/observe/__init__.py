"""What a live server's counters say, held against the intent and the plan."""

from tritongen.fleet.observe.advice import Advised, Expectation, RateChange, advise
from tritongen.fleet.observe.counter_tally import Observed, Reading, Step, Tally, merged, observed

__all__ = [
    "Advised",
    "Expectation",
    "Observed",
    "RateChange",
    "Reading",
    "Step",
    "Tally",
    "advise",
    "merged",
    "observed",
]
