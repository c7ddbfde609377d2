"""`tritongen tune` beside a grid, the auto-completed configuration and Model Analyzer.

    .venv/bin/python benchmarks/tune.py --quick            one small model, some minutes
    .venv/bin/python benchmarks/tune.py --bounded          a reduced table, well under an hour
    .venv/bin/python benchmarks/tune.py                    everything; hours
    … --clients 8                                          by so many clients that wait
    … --estimate                                           the parts that are left, with their times
    … --tables                                             what is known so far

Every part of every row is kept as soon as it is done, in a file of the user's cache, and not done
again: a stopped run goes on where it was. Run it on a machine that does nothing else. The bounded
run gives one row five seeds and Model Analyzer, the others one seed and a grid without queue
delays; the tables say so.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving_bench import MODELS
from tritongen.system.files import write_atomic
from tritongen.system.machine import read_cpus
from tune_analyzer import analyzer_part
from tune_parts import (
    CACHE,
    GRID_S,
    TOP,
    WINDOW_MS,
    Row,
    final_part,
    grid_part,
    tune_part,
)
from tune_tables import stamp, tables

PARTS = ("tune", "grid", "final", "analyzer")
SEEDS = 5
# Results that were measured otherwise are forgotten.
SCHEMA = 2
ROUNDS = 3
# What a part takes beside its measurements: a trial, a build, a server.
_SETUP_S = 12.0
# A configuration is loaded, warmed up and measured; slow models take longer for their answers.
_SWITCH_S = 2.0
_SLOW_S = {"magika": 3.0, "orientation": 2.0}
# The first is given five seeds and Model Analyzer.
_BY_WORTH = (
    Row("digits", 1),
    Row("magika", 2),
    Row("orientation", 1),
    Row("digits", 2),
    Row("magika", 1),
    Row("orientation", 2),
    Row("breast_cancer", 1),
    Row("breast_cancer", 2),
)


@dataclass(frozen=True)
class Part:
    """Something to measure.

    Attributes:
        row: model and CPUs.
        name: one of `PARTS`.
        seed: of a tuning.
        seconds: that it is expected to take.
    """

    row: Row
    name: str
    seed: int
    seconds: float

    @property
    def text(self) -> str:
        """For people."""
        seed = f" seed {self.seed}" if self.name == "tune" else ""
        return f"{self.row.key} {self.name}{seed}"


class State:
    """Results on disk."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        if path.is_file() and not fresh:
            known = json.loads(path.read_text())
            self.rows = known["rows"] if known.get("schema") == SCHEMA else {}

    def of(self, row: Row) -> dict[str, Any]:
        """What is known of a row."""
        return self.rows.setdefault(row.key, {})

    def save(self) -> None:
        """Keep everything, in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        machine = {"cpu": read_cpus().model, "system": platform.platform()}
        date = time.strftime("%Y-%m-%d")
        document = {"schema": SCHEMA, "date": date, "machine": machine, "rows": self.rows}
        write_atomic(self.path, json.dumps(document, indent=1).encode())


def rows_of(options: argparse.Namespace) -> list[Row]:
    """The rows that are asked for, those of most worth first."""
    asked = [Row(model, cpus, options.clients) for cpus in options.cpus for model in options.models]
    known = [row for row in _BY_WORTH if row in asked]
    return known + [row for row in asked if row not in known]


def todo(options: argparse.Namespace, state: State) -> Iterator[Part]:
    """Everything that is not known yet, row after row, so that what is ended is complete."""
    for number, row in enumerate(rows_of(options)):
        first = number == 0
        known = state.of(row)
        seeds = options.seeds if first or options.clients or not options.bounded else 1
        if "tune" in options.parts:
            for seed in range(seeds):
                if str(seed) not in known.get("tune", {}):
                    yield Part(row, "tune", seed, options.budget + 0.7 * _SETUP_S)
        if "grid" in options.parts and "grid" not in known:
            yield Part(row, "grid", 0, _grid_s(row, delays=options.delays))
        if "final" in options.parts and "final" not in known:
            shown = TOP + min(seeds, 2) + 1
            each = options.rounds * (4.5 * WINDOW_MS / 1e3 + 0.5 * _SLOW_S.get(row.model, 0.0))
            yield Part(row, "final", 0, _SETUP_S + shown * (each + _SWITCH_S))
        wanted = options.analyzer and (first or not options.bounded)
        if "analyzer" in options.parts and wanted and "analyzer" not in known:
            yield Part(row, "analyzer", 0, _SETUP_S + 60.0 * options.analyzer)


def _grid_s(row: Row, *, delays: bool) -> float:
    splits = sum(row.cpus // threads for threads in range(1, row.cpus + 1))
    points = splits * (1 + 5 * (3 if delays else 1))
    return _SETUP_S + points * (GRID_S + _SWITCH_S + _SLOW_S.get(row.model, 0.0))


def do(part: Part, options: argparse.Namespace, state: State) -> None:
    """One part, kept as soon as it is done."""
    row, known = part.row, state.of(part.row)
    begun = time.monotonic()
    if part.name == "grid":
        known["grid"] = grid_part(row, tell, delays=options.delays)
        known.pop("final", None)
    elif part.name == "tune":
        known.setdefault("tune", {})[str(part.seed)] = tune_part(row, part.seed, options.budget)
        known.pop("final", None)
    elif part.name == "final" and known.get("grid") and known.get("tune"):
        known["final"] = final_part(row, known["grid"], known["tune"], tell, options.rounds)
    elif part.name == "analyzer":
        known["analyzer"] = analyzer_part(row, options.analyzer)
    known["stamp"] = stamp(read_cpus().model)
    known.setdefault("took_s", {})[part.name] = round(time.monotonic() - begun, 1)
    state.save()
    tell(f"  {part.text}: {time.monotonic() - begun:.0f} s, expected {part.seconds:.0f} s")


def tell(text: str) -> None:
    """Progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def perform(parts: Sequence[Part], options: argparse.Namespace, state: State) -> None:
    """Every part for which there is time."""
    begun = time.monotonic()
    for number, part in enumerate(parts):
        spent = time.monotonic() - begun
        if options.minutes and spent + part.seconds > 60.0 * options.minutes:
            tell(f"[{number + 1}/{len(parts)}] {part.text}: no time, {part.seconds:.0f} s wanted")
            continue
        ahead = sum(item.seconds for item in parts[number:]) / 60.0
        tell(f"[{number + 1}/{len(parts)}] {part.text}, {ahead:.0f} minutes to go")
        do(part, options, state)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line, with what the shorter runs change."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(MODELS))
    parser.add_argument(
        "--cpus", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2]
    )
    parser.add_argument(
        "--clients", type=int, default=0, help="that wait (default: those that fill all batches)"
    )
    parser.add_argument("--budget", type=float, help="seconds of each tuning (60; bounded: 30)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="bounded: of the first row")
    parser.add_argument(
        "--analyzer", type=float, help="minutes, 0 leaves it out (20; bounded: 6, one row)"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of perf_analyzer")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=0.0, help="begin nothing that ends later")
    parser.add_argument("--state", type=Path, help="file of results (default: in the cache)")
    parser.add_argument("--fresh", action="store_true", help="forget what is known")
    parser.add_argument("--quick", action="store_true", help="one small model on one CPU")
    parser.add_argument("--bounded", action="store_true", help="a reduced table")
    parser.add_argument("--estimate", action="store_true", help="only say how long it takes")
    parser.add_argument("--tables", action="store_true", help="only print what is known")
    options = parser.parse_args(argv)
    for name in options.parts:
        if name not in PARTS:
            parser.error(f"no part {name!r}; there are: {', '.join(PARTS)}")
    short = options.quick or options.bounded
    options.delays = not short
    options.budget = options.budget or (20.0 if options.quick else 30.0 if short else 60.0)
    if options.analyzer is None:
        options.analyzer = 1.0 if options.quick else 6.0 if short else 20.0
    if options.quick:
        options.models, options.cpus = options.models[:1], options.cpus[:1]
        options.seeds = min(options.seeds, 2)
    name = "tune-quick" if options.quick else "tune-bounded" if options.bounded else "tune"
    name += f"-{options.clients}-clients" if options.clients else ""
    options.state = options.state or CACHE / f"{name}.json"
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is left, then print the tables."""
    options = arguments(argv)
    state = State(options.state, fresh=options.fresh)
    left = list(todo(options, state))
    tell(f"{len(left)} parts, about {sum(part.seconds for part in left) / 60.0:.0f} minutes")
    if options.estimate:
        ahead = 0.0
        for part in left:
            ahead += part.seconds
            tell(f"  {part.text:<28}{part.seconds:5.0f} s{ahead / 60.0:7.1f} min")
        return 0
    if not options.tables:
        perform(left, options, state)
    print(tables(state.rows, [row.key for row in rows_of(options)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
