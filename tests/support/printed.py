"""Invented results, for what commands print of them."""

import re

from tritongen.cli.table import cells_of
from tritongen.model.evidence import ServedRate
from tritongen.model.intent import ModelIntent
from tritongen.probe.statistics.intervals import Interval
from tritongen.queueing import ClosedLoop
from tritongen.tune.search.objective import Performance, parse_goal
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.standings import Measurement
from tritongen.tune.search.tuner import Evaluated, TuningChoice
from tritongen.tune.tune_result import TunedModel


def measured(rate: float, ms: float, rounds: int = 3, load: object = None) -> Measurement:
    latency = Interval(ms / 1e3, ms / 1.1e3, ms / 0.9e3)
    return Measurement(
        load or ClosedLoop(16), Interval(rate, rate * 0.9, rate * 1.1), latency, rounds
    )


def tuned(**changes: object) -> TunedModel:
    best, other, base = Candidate(2, 1, 8, 500), Candidate(1, 2), Candidate(1, 1, 4)
    load = ClosedLoop(16)
    rows = (
        Evaluated(best, load, "best", Performance(900.0, 0.02, 2), measured(1000.0, 20.0)),
        Evaluated(base, load, "baseline", None, measured(500.0, 40.0)),
        Evaluated(
            other, load, "behind", Performance(400.0, 0.05, 2), measured(450.0, 15.0), "slow"
        ),
        Evaluated(Candidate(4, 1), ClosedLoop(1), "predicted", Performance(200.0, 0.1, 4)),
    )
    values: dict[str, object] = {
        "name": "ocr", "objective": parse_goal("p99<50ms"), "intent": ModelIntent(), "cores": 2,
        "choice": TuningChoice(best, load, None, measured(1000.0, 20.0), True, (best,)),
        "best": measured(1000.0, 20.0), "default": measured(500.0, 40.0),
        "default_candidate": base, "incumbent": other, "rows": rows, "front": (rows[0], rows[2]),
        "verdict": "separated", "sentence": "2x1 is ahead", "wall_s": 12.34,
        "sweep": (ServedRate(100.0, 5000, ((50.0, 3.0), (99.0, 9.0))),),
    }  # fmt: skip
    return TunedModel(**{**values, **changes})  # type: ignore[arg-type]  # fields of it


# Commands are left whole, to be copied: those of a story, and those that are named.
COMMAND = re.compile(r"\$ |next: |in \w+: ")


def too_wide(text: str, columns: int) -> list[str]:
    """Lines that a terminal of so many columns breaks by itself, commands left out."""
    lines = (line.removeprefix("! ") for line in text.splitlines() if not COMMAND.match(line))
    return [line for line in lines if cells_of(line) > columns]
