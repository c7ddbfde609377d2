"""What the tuning benchmark has found, as Markdown, and what of it was cut."""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from probe_bench_tools import table
from tritongen.tune.search.search_space import Candidate
from tune_parts import GRID_S, PEER_THREADS, PROTOCOL, TOP, WINDOW_MS

# The targets that the tables are held against.
LEAST_AT_CLIENTS, MOST_AT_CLIENTS = 0.98, 1.10
LEAST_SHARE, AGREE, CLOSE, CLOSE_SHARE = 0.97, 0.05, 0.10, 0.8
# The budget of the command when nothing is said.
_USUAL_BUDGET_S = 120.0

_AT_CLIENTS = (
    "model/CPUs@clients", "`build`", "best of the grid", "chosen by tune", "kept", "throughput",
    "p99", "met",
)  # fmt: skip

Rows = list[tuple[str, dict[str, Any]]]


def tables(known: Mapping[str, dict[str, Any]], wanted: Iterable[str]) -> str:
    """Everything that is known, and what is missing.

    Args:
        known: results by ``model/CPUs``.
        wanted: all rows that there should be.
    """
    rows = sorted((key, row) for key, row in known.items() if row)
    found = (
        (
            "Against a grid (perf_analyzer)",
            "The grid's best and the choice of `tritongen tune`, measured again in turn.",
            ("model/CPUs", "best of the grid", "chosen by tune", "share of the best", "seeds",
             "seeds differ by", "wall", f"≥ {LEAST_SHARE} and within {AGREE:.0%}"),
            list(_quality(rows)),
        ),
        (
            "The same number of clients for all (perf_analyzer)",
            f"Target: ≥ {LEAST_AT_CLIENTS} × the better one's rate, ≤ {MOST_AT_CLIENTS} × its p99.",
            _AT_CLIENTS,
            list(_at_clients(rows)),
        ),
        (
            "Against the auto-completed configuration (perf_analyzer)",
            "What Triton serves of a folder without `config.pbtxt`, kept busy by its clients.",
            ("model/CPUs", "auto-completed", "chosen by tune", "throughput", "p99"),
            list(_defaults(rows)),
        ),
        (
            "Model Analyzer, quick search",
            "On the same server, from tritongen's own configuration without its warm-up.",
            ("model/CPUs", "Model Analyzer", "its best so far", "tritongen tune", "its best",
             "Model Analyzer's time ÷ tune's"),
            list(_analyzer(rows)),
        ),
        (
            f"Simulation on the grid's points (target: {CLOSE_SHARE:.0%} within {CLOSE:.0%})",
            "It ranks candidates before they race; the race measures them.",
            ("model/CPUs", "points", "throughput within 10 %", "median error",
             "p99 within 10 %", "median error"),
            list(_simulation(rows)),
        ),
    )  # fmt: skip
    parts = [
        f"### {title}\n\n{remark}\n\n{table(headers, lines)}"
        for title, remark, headers, lines in found
        if lines
    ]
    listed = "\n".join(f"- {line}" for line in _cuts(rows, list(wanted)))
    return "\n".join([*parts, f"### How, and what was cut\n\n{listed}\n"])


def _chosen(row: dict[str, Any]) -> list[str]:
    return [Candidate(**tune["best"]).key for tune in row["tune"].values()]


def _quality(rows: Rows) -> Iterator[tuple[str, ...]]:
    """Choices against the best of the grid, all by perf_analyzer."""
    for key, row in rows:
        final = row.get("final")
        if not final:
            continue
        rates = final["throughput"]
        best = max(final["grid"], key=lambda name: rates[name])
        chosen = _chosen(row)
        shares = [rates[name] / rates[best] for name in chosen if rates.get(name)]
        if not shares or not rates[best]:
            continue
        spread = max(shares) / min(shares) - 1.0
        wall = max(tune["wall_s"] for tune in row["tune"].values())
        many = len(shares) > 1
        good = min(shares) >= LEAST_SHARE and spread <= AGREE
        low, high = f"{min(shares):.2f}", f"{max(shares):.2f}"
        yield (
            key,
            f"{best}: {rates[best]:,.0f}/s",
            ", ".join(dict.fromkeys(chosen)),
            low if low == high else f"{low}–{high}",
            str(len(shares)),
            f"{spread:.1%}" if many else "—",
            f"{wall:.0f} s",
            "yes" if good else "no",
        )


def _at_clients(rows: Rows) -> Iterator[tuple[str, ...]]:
    """Choices at a stated number of clients against the better of `build` and the grid."""
    for key, row in rows:
        final = row.get("final")
        if not final or "@" not in key:
            continue
        rates, tails, built = final["throughput"], final["p99_ms"], final["built"]
        top = max(final["grid"], key=lambda name: rates[name])
        best = max((built, top), key=lambda name: rates[name])
        chosen, kept = _chosen(row), [tune["kept"] for tune in row["tune"].values()]
        shares = [rates[name] / rates[best] for name in chosen]
        longer = [tails[name] / tails[best] for name in chosen]
        met = [
            stays or (share >= LEAST_AT_CLIENTS and tail <= MOST_AT_CLIENTS)
            for stays, share, tail in zip(kept, shares, longer, strict=True)
        ]
        yield (
            key,
            *(f"{name}: {rates[name]:,.0f}/s, {tails[name]:.1f} ms" for name in (built, top)),
            ", ".join(dict.fromkeys(chosen)),
            f"{sum(kept)} of {len(kept)}",
            f"× {min(shares):.2f}–{max(shares):.2f}",
            f"× {min(longer):.2f}–{max(longer):.2f}",
            f"{sum(met)} of {len(met)}",
        )


def _defaults(rows: Rows) -> Iterator[tuple[str, ...]]:
    """Choices against the auto-completed configuration, by perf_analyzer."""
    for key, row in rows:
        final = row.get("final")
        if not final or not final["throughput"].get("default"):
            continue
        rates, tails = final["throughput"], final["p99_ms"]
        chosen = _chosen(row)
        name = max(chosen, key=chosen.count)
        if not rates.get(name):
            continue
        yield (
            key,
            f"{rates['default']:,.0f}/s, {tails['default']:.1f} ms",
            f"{name}: {rates[name]:,.0f}/s, {tails[name]:.1f} ms",
            f"× {rates[name] / rates['default']:.2f}",
            f"× {tails[name] / tails['default']:.2f}",
        )


def _simulation(rows: Rows) -> Iterator[tuple[str, ...]]:
    """The simulation against the grid's measurements."""
    for key, row in rows:
        points = [point for point in row.get("grid", ()) if point["throughput"] > 0.0]
        if not points:
            continue
        shares = []
        for predicted, measured in (("predicted", "throughput"), ("predicted_p99_ms", "p99_ms")):
            errors = [abs(p[predicted] / p[measured] - 1.0) for p in points if p[measured] > 0.0]
            near = sum(error <= CLOSE for error in errors) / len(errors)
            median = sorted(errors)[len(errors) // 2]
            shares += [f"{near:.0%}", f"{median:.1%}"]
        yield (key, str(len(points)), *shares)


def _analyzer(rows: Rows) -> Iterator[tuple[str, ...]]:
    """Model Analyzer's time and result beside the tuner's."""
    for key, row in rows:
        peer, tunes = row.get("analyzer"), row.get("tune")
        if not peer or not tunes:
            continue
        wall = max(tune["wall_s"] for tune in tunes.values())
        minutes = peer["wall_s"] / 60.0
        ended = "finished" if peer["finished"] else "unfinished"
        best = peer["best"]
        rates = row["final"]["throughput"] if row.get("final") else {}
        ours = max((rates.get(name, 0.0) for name in _chosen(row)), default=0.0)
        shown = " ".join(part for part in (best.get("config"), best.get("settings")) if part)
        yield (
            key,
            f"{ended} after {minutes:.1f} min, {peer.get('measured', '?')} measurements",
            f"{best['throughput']:,.0f}/s, {best['clients']} clients, {shown}"
            if best
            else "nothing",
            f"{wall:.0f} s",
            f"{ours:,.0f}/s" if ours else "—",
            f"{peer['wall_s'] / wall:.1f}" + ("" if peer["finished"] else " at least"),
        )


def _cuts(rows: Rows, wanted: list[str]) -> Iterator[str]:
    """How the rows were measured, and what of a complete run is not here."""
    yield (
        "throughput is the goal everywhere; a row's load is a closed loop that keeps every "
        "instance in full batches, 64 clients at most; `@8` in its name means 8 clients that wait"
    )
    yield (
        f"requests travel over {PROTOCOL.value} everywhere: in the tuner, the grid and "
        f"perf_analyzer, which has {PEER_THREADS} threads so that it takes less of CPUs it shares"
    )
    grids = {key: row for key, row in rows if "grid" in row}
    for delays, text in ((True, "with its queue delays"), (False, "queue delay 0 only")):
        sizes = [
            f"{key} {len(row['grid'])}"
            for key, row in grids.items()
            if _has_delays(row["grid"]) == delays
        ]
        if sizes:
            yield (
                f"grid, {text}: {', '.join(sizes)} points, each measured once for some "
                f"{GRID_S:g} s; its best {TOP} are measured again by perf_analyzer"
            )
    yield from _how_tuned(rows)
    rounds = sorted({row["final"].get("rounds", 3) for _, row in rows if row.get("final")})
    if rounds:
        yield (
            f"rounds of perf_analyzer, in turn: {' or '.join(map(str, rounds))}, each of three "
            f"windows of {WINDOW_MS} ms or more; geometric means"
        )
    peers = [f"{key} {row['analyzer']['minutes']:g} min" for key, row in rows if "analyzer" in row]
    if peers:
        yield f"Model Analyzer was given at most: {', '.join(peers)}; the other rows were left out"
    else:
        yield "Model Analyzer was not run"
    done = {key for key, row in rows if row.get("final")}
    missing = [key for key in wanted if key not in done]
    if missing:
        yield f"not measured: {', '.join(missing)}"
    stamps = sorted({f"{row['stamp']['date']}, {row['stamp']['cpu']}" for _, row in rows
                     if "stamp" in row})  # fmt: skip
    if stamps:
        yield f"measured {'; '.join(stamps)}"


def _how_tuned(rows: Rows) -> Iterator[str]:
    budgets: dict[float, list[str]] = {}
    noisy = []
    for key, row in rows:
        for tune in row.get("tune", {}).values():
            budgets.setdefault(tune.get("budget_s", 60.0), []).append(key)
            noisy += [key for note in tune["notes"] if note.startswith("noisy")][:1]
    for budget, keys in sorted(budgets.items()):
        counts = [f"{key} {keys.count(key)}" for key in dict.fromkeys(keys)]
        usual = "" if budget == _USUAL_BUDGET_S else f" instead of {_USUAL_BUDGET_S:g} s"
        yield f"tune: a budget of {budget:g} s{usual}; seeds: {', '.join(counts)}"
    if noisy:
        yield f"other processes disturbed the tuning of {', '.join(dict.fromkeys(noisy))}"


def _has_delays(grid: list[dict[str, Any]]) -> bool:
    return any(point["candidate"]["queue_delay_us"] for point in grid)


def stamp(cpu: str) -> dict[str, str]:
    """When and where a row was measured."""
    return {"date": time.strftime("%d %B %Y").lstrip("0"), "cpu": cpu}
