"""Closed loops of the probe's benchmark: the clients side by side, in interleaved rounds."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from probe_bench_models import MAGIKA, PAGES, TINY, Model
from probe_bench_tools import (
    OUR_GRPC,
    OUR_HTTP,
    PA_GRPC,
    PA_HTTP,
    PYTHON_GRPC,
    PYTHON_HTTP,
    WRK_HTTP,
    Bench,
    Client,
    Load,
    Reading,
    table,
)

CLIENTS = (PA_GRPC, OUR_GRPC, PYTHON_GRPC, PA_HTTP, OUR_HTTP, PYTHON_HTTP, WRK_HTTP)
# The other tool over the same protocol. Targets are set beside its gRPC, as the one to measure by.
BESIDE = {OUR_GRPC: PA_GRPC, OUR_HTTP: PA_HTTP, PYTHON_GRPC: PA_GRPC, PYTHON_HTTP: PA_HTTP}
FAST = {PYTHON_GRPC: OUR_GRPC, PYTHON_HTTP: OUR_HTTP}
FASTER, CHEAPER, CLOSE = 1.2, 0.30, 0.03
# Of a model that takes milliseconds, tritonclient finds the throughput that the fast client does.
SAME = 0.05
CHEAPER_LARGE = {OUR_GRPC: 0.30, OUR_HTTP: 0.20}
# No further round begins after this; a busy machine makes every run longer.
LAST_ROUND_S = 150.0


@dataclass(frozen=True)
class Size:
    """How long everything takes.

    Attributes:
        rounds: of the closed loops.
        seconds: of a measured window.
        watch_s: of the stretch in which CPU is read.
        stall_s: of a window of the stall test.
        precision: whether to compare the times to a precise result.
    """

    rounds: int
    seconds: float
    watch_s: float
    stall_s: float
    precision: bool


def closed_loops(bench: Bench, size: Size, cells: Sequence[tuple[Model, int]]) -> str:
    """Throughput and the clients' cost, side by side."""
    found: dict[tuple[Model, int, Client], list[Reading]] = {}
    begun = time.monotonic()
    for number in range(size.rounds):
        if time.monotonic() - begun > LAST_ROUND_S:
            break
        for model, concurrency in cells:
            order = CLIENTS if number % 2 == 0 else CLIENTS[::-1]
            for client in order:
                earlier = found.setdefault((model, concurrency, client), [])
                if earlier and earlier[0].failure:
                    continue
                # Of perf_analyzer it is the length of a window, of which it takes three.
                windows = 3.0 if client.ours or client is WRK_HTTP else 1.0
                seconds = windows * size.seconds
                load = Load(concurrency, seconds=seconds)
                reading = bench.run(client, model, load, watch_s=size.watch_s)
                earlier.append(reading)
                progress(f"round {number + 1}: {model.name} c={concurrency} {client.name}", reading)
    rows = [
        closed_row(model, concurrency, client, found)
        for model, concurrency in cells
        for client in CLIENTS
    ]
    headers = ("model", "c", "client", "requests/s", "server's count", "p50 ms", "p99 ms", "CPU µs")
    more = ("speed ÷ PA gRPC", "÷ same protocol", "CPU ÷ PA gRPC", "÷ same protocol", "target")
    return table((*headers, *more), rows)


def closed_row(
    model: Model,
    concurrency: int,
    client: Client,
    found: dict[tuple[Model, int, Client], list[Reading]],
) -> tuple[str, ...]:
    """One client at one level."""
    mine = found[model, concurrency, client]
    failed = next((reading.failure for reading in mine if reading.failure), "")
    if failed:
        return (model.name, str(concurrency), client.name, failed, *[""] * 9)
    figures = (
        model.name,
        str(concurrency),
        client.name,
        f"{middle(mine, lambda r: r.throughput):,.0f}",
        f"{middle(mine, lambda r: r.served_per_s):,.0f}",
        milliseconds(middle(mine, lambda r: r.p50_us)),
        milliseconds(middle(mine, lambda r: r.p99_us)),
        f"{middle(mine, lambda r: r.cpu_us):.1f}",
    )
    if not client.ours:
        return (*figures, *[""] * 5)
    speeds, costs = (
        [
            ratios(mine, found[model, concurrency, other], pick)
            for other in (PA_GRPC, BESIDE[client])
        ]
        for pick in (lambda r: r.throughput, lambda r: r.cpu_us)
    )
    if client in FAST:
        fast = ratios(mine, found[model, concurrency, FAST[client]], lambda r: r.throughput)
        said = same(model, fast)
    else:
        said = targets(model, concurrency, client, speeds[0], costs[0])
    return (*figures, *map(span, (*speeds, *costs)), said)


def same(model: Model, speed: Sequence[float]) -> str:
    """What the probe gets through tritonclient, beside what it gets by itself."""
    told = f"{span(speed)} of the fast client"
    if model not in {MAGIKA, PAGES} or not speed:
        return told
    met = abs(statistics.median(speed) - 1.0) <= SAME
    return f"{told}; {verdict(met, f'within {SAME:.0%}')}"


def targets(
    model: Model, concurrency: int, client: Client, speed: Sequence[float], cost: Sequence[float]
) -> str:
    """The targets of a row, and whether they are met."""
    if not speed or not cost:
        return "nothing to compare"
    fast, cheap = statistics.median(speed), statistics.median(cost)
    said = []
    if model is TINY:
        said.append(verdict(fast >= FASTER, f"speed ≥ {FASTER}"))
        if concurrency == 8:
            said.append(verdict(cheap <= CHEAPER, f"CPU ≤ {CHEAPER:.2f}"))
    elif model is MAGIKA:
        said.append(verdict(abs(fast - 1.0) <= CLOSE, f"speed within {CLOSE:.0%}"))
    elif model is not PAGES:
        most = CHEAPER_LARGE[client]
        said.append(verdict(cheap <= most, f"CPU ≤ {most:.2f}"))
    return "; ".join(said)


def milliseconds(microseconds: float) -> str:
    """A tool says nothing where there are too few requests."""
    return f"{microseconds / 1e3:.2f}" if microseconds else "too few"


def verdict(met: bool, target: str) -> str:
    return f"{target}: {'met' if met else 'missed'}"


def middle(readings: Sequence[Reading], pick: Callable[[Reading], float]) -> float:
    return statistics.median(pick(reading) for reading in readings)


def ratios(
    mine: Sequence[Reading], other: Sequence[Reading], pick: Callable[[Reading], float]
) -> list[float]:
    """Round by round, where both have a figure."""
    pairs = [(pick(a), pick(b)) for a, b in zip(mine, other, strict=False)]
    return [a / b for a, b in pairs if a > 0 and b > 0]


def span(values: Sequence[float]) -> str:
    """The median with the least and the greatest of several rounds."""
    if not values:
        return ""
    text = f"{statistics.median(values):.2f}×"
    return text if len(values) == 1 else f"{text} ({min(values):.2f} to {max(values):.2f})"


def progress(what: str, reading: Reading) -> None:
    """One line on stderr."""
    found = reading.failure or f"{reading.throughput:,.0f}/s, p99 {reading.p99_us / 1e3:.2f} ms"
    print(f"{what}: {found}, CPU {reading.cpu_us:.1f} µs", file=sys.stderr)
