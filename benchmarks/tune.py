"""`tritongen tune` beside exhaustive search, Triton's own completion and Model Analyzer.

    .venv/bin/python benchmarks/tune.py --quick          one small model, some minutes
    .venv/bin/python benchmarks/tune.py --estimate       how long everything takes
    .venv/bin/python benchmarks/tune.py                  everything; may be stopped and run again
    .venv/bin/python benchmarks/tune.py --tables         what is known so far

Every part of every row is kept as soon as it is done, in a file of the user's cache, and not done
again: a stopped run goes on where it was. Run it on a machine that does nothing else.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from probe_bench_tools import table
from serving_bench import MODELS
from tritongen.inspection.machine import read_cpus
from tritongen.search.space import Candidate
from tritongen.serving.files import write_atomic
from tune_parts import (
    GRID_S,
    ROUNDS,
    TOP,
    WINDOW_MS,
    Row,
    analyzer_part,
    final_part,
    grid_part,
    tune_part,
)

STATE = Path.home() / ".cache/tritongen/benchmarks/tune.json"
PARTS = ("grid", "tune", "final", "analyzer")
SEEDS = 5
# A configuration is loaded, warmed up and measured.
_SWITCH_S = 1.5
# The targets that the tables are held against.
LEAST_SHARE, AGREE, CLOSE, CLOSE_SHARE = 0.97, 0.05, 0.10, 0.8


class State:
    """Results on disk."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        if path.is_file() and not fresh:
            self.rows = json.loads(path.read_text())["rows"]

    def of(self, row: Row) -> dict[str, Any]:
        """What is known of a row."""
        return self.rows.setdefault(row.key, {})

    def save(self) -> None:
        """Keep everything, in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        machine = {"cpu": read_cpus().model, "system": platform.platform()}
        stamp = time.strftime("%Y-%m-%d")
        document = {"date": stamp, "machine": machine, "rows": self.rows}
        write_atomic(self.path, json.dumps(document, indent=1).encode())


def todo(options: argparse.Namespace, state: State) -> Iterator[tuple[Row, str, int, float]]:
    """(row, part, seed, expected seconds) of everything that is not known yet."""
    for cpus in options.cpus:
        for model in options.models:
            row = Row(model, cpus)
            known = state.of(row)
            splits = sum(cpus // threads for threads in range(1, cpus + 1))
            points = splits * (1 + 5 * (1 if options.quick else 3))
            if "grid" in options.parts and "grid" not in known:
                yield row, "grid", 0, points * (GRID_S + _SWITCH_S)
            if "tune" in options.parts:
                for seed in range(options.seeds):
                    if str(seed) not in known.get("tune", {}):
                        yield row, "tune", seed, options.budget + 5.0
            if "final" in options.parts and "final" not in known:
                shown = TOP + min(options.seeds, 3) + 1
                yield row, "final", 0, shown * (ROUNDS * 4.5 * WINDOW_MS / 1e3 + _SWITCH_S)
            if "analyzer" in options.parts and options.analyzer and "analyzer" not in known:
                yield row, "analyzer", 0, 60.0 * options.analyzer


def do(row: Row, part: str, seed: int, options: argparse.Namespace, state: State) -> None:
    """One part, kept as soon as it is done."""
    known = state.of(row)
    if part == "grid":
        known["grid"] = grid_part(row, tell, delays=not options.quick)
    elif part == "tune":
        known.setdefault("tune", {})[str(seed)] = tune_part(row, seed, options.budget)
        known.pop("final", None)
    elif part == "final" and known.get("grid") and known.get("tune"):
        known["final"] = final_part(row, known["grid"], known["tune"], tell)
    elif part == "analyzer":
        known["analyzer"] = analyzer_part(row, options.analyzer)
    state.save()


def tell(text: str) -> None:
    """Progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def quality_rows(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, ...]]:
    """Choices against the best of the grid, all by perf_analyzer."""
    for key, known in rows:
        final = known.get("final")
        if not final:
            continue
        rates = final["throughput"]
        best = max(final["grid"], key=lambda name: rates[name])
        chosen = [Candidate(**tune["best"]).key for tune in known["tune"].values()]
        shares = [rates[name] / rates[best] for name in chosen if rates.get(name)]
        if not shares:
            continue
        spread = max(shares) / min(shares) - 1.0
        wall = max(tune["wall_s"] for tune in known["tune"].values())
        good = min(shares) >= LEAST_SHARE and spread <= AGREE
        yield (
            key,
            f"{best}: {rates[best]:.0f}/s",
            ", ".join(dict.fromkeys(chosen)),
            f"{min(shares):.2f}–{max(shares):.2f}",
            f"{spread:.1%}",
            f"{wall:.0f} s",
            "yes" if good else "no",
        )


def default_rows(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, ...]]:
    """Choices against Triton's own completion, by perf_analyzer."""
    for key, known in rows:
        final = known.get("final")
        if not final or not final["throughput"].get("default"):
            continue
        rates, tails = final["throughput"], final["p99_ms"]
        chosen = [Candidate(**tune["best"]).key for tune in known["tune"].values()]
        name = max(set(chosen), key=chosen.count)
        if not rates.get(name):
            continue
        yield (
            key,
            f"{rates['default']:.0f}/s, {tails['default']:.1f} ms",
            f"{name}: {rates[name]:.0f}/s, {tails[name]:.1f} ms",
            f"× {rates[name] / rates['default']:.2f}",
            f"× {tails[name] / tails['default']:.2f}",
        )


def simulation_rows(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, ...]]:
    """The simulation against the grid's measurements."""
    for key, known in rows:
        points = [point for point in known.get("grid", ()) if point["throughput"] > 0.0]
        if not points:
            continue
        shares = []
        for predicted, measured in (("predicted", "throughput"), ("predicted_p99_ms", "p99_ms")):
            errors = [abs(p[predicted] / p[measured] - 1.0) for p in points if p[measured] > 0.0]
            near = sum(error <= CLOSE for error in errors) / len(errors)
            median = sorted(errors)[len(errors) // 2]
            shares += [f"{near:.0%}", f"{median:.1%}"]
        yield (key, str(len(points)), *shares)


def analyzer_rows(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, ...]]:
    """Model Analyzer's time and result beside the tuner's."""
    for key, known in rows:
        peer, tunes = known.get("analyzer"), known.get("tune")
        if not peer or not tunes:
            continue
        wall = max(tune["wall_s"] for tune in tunes.values())
        ended = "finished" if peer["finished"] else "unfinished"
        best = peer["best"]
        yield (
            key,
            f"{ended} after {peer['wall_s']:.0f} s",
            f"{best['throughput']:.0f}/s ({best['clients']} clients)" if best else "nothing",
            f"{wall:.0f} s",
            f"{peer['wall_s'] / wall:.1f}" + ("" if peer["finished"] else " at least"),
        )


def tables(state: State) -> str:
    """Everything that is known, as Markdown."""
    rows = sorted(state.rows.items())
    found = (
        (
            "Against exhaustive search (perf_analyzer)",
            ("model/CPUs", "best of the grid", "chosen", "share of it", "seeds differ by", "wall",
             f"≥ {LEAST_SHARE} and within {AGREE:.0%}"),
            list(quality_rows(rows)),
        ),
        (
            "Against Triton's own completion (perf_analyzer)",
            ("model/CPUs", "Triton's own", "chosen", "throughput", "p99"),
            list(default_rows(rows)),
        ),
        (
            f"Simulation on the grid's points (target: {CLOSE_SHARE:.0%} within {CLOSE:.0%})",
            ("model/CPUs", "points", "throughput within 10 %", "median error",
             "p99 within 10 %", "median error"),
            list(simulation_rows(rows)),
        ),
        (
            "Model Analyzer, quick search",
            ("model/CPUs", "Model Analyzer", "its best", "tritongen tune", "ratio of times"),
            list(analyzer_rows(rows)),
        ),
    )  # fmt: skip
    return "\n".join(
        f"### {title}\n\n{table(headers, lines)}" for title, headers, lines in found if lines
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Do what is left, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(MODELS))
    parser.add_argument(
        "--cpus", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2]
    )
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of each tuning")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--analyzer", type=float, default=20.0, help="minutes; 0 leaves it out")
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=0.0, help="begin nothing after so long")
    parser.add_argument("--state", type=Path, default=STATE, help="(default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="forget what is known")
    parser.add_argument("--quick", action="store_true", help="one small model on one CPU")
    parser.add_argument("--estimate", action="store_true", help="only say how long it takes")
    parser.add_argument("--tables", action="store_true", help="only print what is known")
    options = parser.parse_args(argv)
    if options.quick:
        options.models, options.cpus = ["digits"], [1]
        options.seeds, options.budget = 2, min(options.budget, 20.0)
        options.analyzer = min(options.analyzer, 1.0)
        options.state = options.state.with_name("tune-quick.json")
    state = State(options.state, fresh=options.fresh)
    left = list(todo(options, state))
    tell(f"{len(left)} parts, about {sum(part[3] for part in left) / 60.0:.0f} minutes")
    begun = time.monotonic()
    for number, (row, part, seed, seconds) in enumerate(left):
        if options.estimate or options.tables:
            break
        spent = time.monotonic() - begun
        if options.minutes and spent + seconds > 60.0 * options.minutes:
            continue
        ahead = sum(item[3] for item in left[number:]) / 60.0
        tell(f"[{number + 1}/{len(left)}] {row.key} {part} {seed}, {ahead:.0f} minutes to go")
        do(row, part, seed, options, state)
    print(f"{read_cpus().model}, {platform.platform()}, {time.strftime('%Y-%m-%d')}\n")
    print(tables(state))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
