"""`tritongen probe` beside perf_analyzer, on one server, in interleaved rounds.

    .venv/bin/python benchmarks/probe_vs_perf_analyzer.py            twelve minutes at most
    .venv/bin/python benchmarks/probe_vs_perf_analyzer.py --quick    a look at everything, two

Both tools run on the machine of the server, as they do when a configuration is tuned. What a tool
costs is read from the kernel, what it really sent from the server's own count.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe_bench_models import (
    DEMO,
    DIGITS,
    IMAGE,
    MAGIKA,
    STALL_EVERY_S,
    STALL_S,
    STALLED,
    TINY,
    Model,
    served,
)
from probe_bench_tools import (
    OUR_GRPC,
    OUR_HTTP,
    PA_GRPC,
    PA_GRPC_SYNC,
    PA_HTTP,
    PERF_ANALYZER,
    Bench,
    Client,
    Load,
    Reading,
    table,
)
from tritongen import __version__
from tritongen.inspection.machine import read_cpus

CLIENTS = (PA_GRPC, OUR_GRPC, PA_HTTP, OUR_HTTP)
# The other tool over the same protocol. Targets are set beside its gRPC, as the one to measure by.
BESIDE = {OUR_GRPC: PA_GRPC, OUR_HTTP: PA_HTTP}
RATE, STALL_RATE = 1_000, 100
FASTER, CHEAPER, CLOSE, STALL_ERROR, LATE_US, SOONER = 1.2, 0.30, 0.03, 0.05, 20.0, 0.5
CHEAPER_LARGE = {OUR_GRPC: 0.30, OUR_HTTP: 0.20}
RECORDED = 10_000_000
# No further round begins after this; a busy machine makes every run longer.
LAST_ROUND_S = 270.0
# More processes than this want to run on a machine that is not quiet.
BUSY_LOAD = 1.5


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


FULL = Size(3, 1.4, 2.0, 5.0, precision=True)
QUICK = Size(1, 1.0, 1.0, 5.0, precision=False)


def closed_loops(bench: Bench, size: Size) -> str:
    """Throughput and the clients' cost, side by side."""
    cells = [(TINY, 1), (TINY, 8), (TINY, 32), (IMAGE, 8), (MAGIKA, 8)]
    found: dict[tuple[Model, int, Client], list[Reading]] = {}
    begun = time.monotonic()
    for number in range(size.rounds):
        if time.monotonic() - begun > LAST_ROUND_S:
            break
        for model, concurrency in cells:
            order = CLIENTS if number % 2 == 0 else CLIENTS[::-1]
            for client in order:
                # Three windows of the one are as long as one of the other.
                seconds = 3.0 * size.seconds if client.ours else size.seconds
                load = Load(concurrency, seconds=seconds)
                reading = bench.run(client, model, load, watch_s=size.watch_s)
                found.setdefault((model, concurrency, client), []).append(reading)
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
    said = targets(model, concurrency, client, speeds[0], costs[0])
    return (*figures, *map(span, (*speeds, *costs)), said)


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
    else:
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
    pairs = [(pick(a), pick(b)) for a, b in zip(mine, other, strict=True)]
    return [a / b for a, b in pairs if a > 0 and b > 0]


def span(values: Sequence[float]) -> str:
    """The median with the least and the greatest of several rounds."""
    if not values:
        return ""
    text = f"{statistics.median(values):.2f}×"
    return text if len(values) == 1 else f"{text} ({min(values):.2f} to {max(values):.2f})"


def lateness(bench: Bench, size: Size) -> str:
    """How much later than due requests leave."""
    rows = []
    for client in (OUR_HTTP, OUR_GRPC):
        reading = bench.run(client, TINY, Load(rate=RATE, seconds=max(3.0 * size.seconds, 3.0)))
        progress(f"{RATE}/s {client.name}", reading)
        if reading.more is None:
            rows.append((client.name, reading.failure, "", ""))
            continue
        late: dict[str, float] = reading.more["client"]["lateness_us"]
        met = verdict(late["p50"] <= LATE_US, f"median ≤ {LATE_US:.0f} µs")
        rows.append((client.name, f"{late['p50']:.1f} µs", f"{late['p99']:.0f} µs", met))
    rows.append((PA_GRPC.name, "not reported", "not reported", ""))
    return table(("client", "median lateness", "p99", "target"), rows)


def stall(bench: Bench, size: Size) -> str:
    """An open loop while the server stalls: what each tool makes of it."""
    share = STALL_S / STALL_EVERY_S
    truth = {p: STALL_S * 1e3 * max(1.0 - (1.0 - p / 100.0) / share, 0.0) for p in (95, 99)}
    rows = [("from the schedule, by arithmetic", *(f"{truth[p]:.0f} ms" for p in (95, 99)), "")]
    for client in (OUR_HTTP, OUR_GRPC, PA_GRPC, PA_GRPC_SYNC):
        seconds = 3.0 * size.stall_s if client.ours else size.stall_s
        reading = bench.run(client, STALLED, Load(rate=STALL_RATE, seconds=seconds))
        progress(f"stalled {client.name}", reading)
        if reading.failure:
            rows.append((client.name, reading.failure, "", ""))
            continue
        error = reading.p95_us / 1e3 / truth[95] - 1.0
        met = verdict(abs(error) <= STALL_ERROR, f"within {STALL_ERROR:.0%}") if client.ours else ""
        p95 = f"{reading.p95_us / 1e3:.0f} ms ({error:+.0%})"
        rows.append((client.name, p95, f"{reading.p99_us / 1e3:.0f} ms", met))
    return table(("client", "p95", "p99", "target"), rows)


def precision(bench: Bench) -> str:
    """How long each tool takes until it is content, with its own defaults."""
    rows = []
    for model in (TINY, DIGITS):
        theirs = bench.run(PA_GRPC, model, Load(8, seconds=0))
        ours = bench.run(OUR_GRPC, model, Load(8, seconds=0))
        for client, reading in ((PA_GRPC, theirs), (OUR_GRPC, ours)):
            progress(f"own rule, {model.name} {client.name}", reading)
        precise, width = (False, ours.failure) if ours.more is None else width_of(ours.more)
        share = ours.wall_s / theirs.wall_s
        said = theirs.failure or f"p99 {theirs.p99_us / 1e3:.2f} ms, no interval"
        rows += [
            (model.name, PA_GRPC.name, f"{theirs.wall_s:.1f} s", said, ""),
            (
                model.name,
                OUR_GRPC.name,
                f"{ours.wall_s:.1f} s ({share:.2f}×)",
                width,
                verdict(precise and share <= SOONER, f"p99 ± 10% in ≤ {SOONER}×"),
            ),
        ]
    return table(("model", "client", "wall time", "it says", "target"), rows)


def width_of(level: dict[str, Any]) -> tuple[bool, str]:
    """Whether a level became precise, and what it says."""
    interval = level["latency_us"]["p99"]
    if interval is None:
        return False, f"{level['verdict']}, no p99"
    half = (interval["high"] - interval["low"]) / 2.0 / interval["value"]
    return level["verdict"] == "VALID", f"{level['verdict']}, p99 ± {half:.0%}"


def side_by_side(bench: Bench, size: Size) -> str:
    """The demo's models, as each tool reports them."""
    rows = []
    for model in DEMO:
        for client in (PA_GRPC, OUR_GRPC):
            seconds = 3.0 * size.seconds if client.ours else size.seconds
            reading = bench.run(client, model, Load(4, seconds=seconds), watch_s=size.watch_s)
            progress(f"demo {model.name} {client.name}", reading)
            figures = (
                f"{reading.throughput:,.0f}",
                f"{reading.served_per_s:,.0f}",
                *map(milliseconds, (reading.p50_us, reading.p95_us, reading.p99_us)),
                f"{reading.queue_us:,.0f}",
                f"{reading.infer_us:,.0f}",
                f"{reading.cpu_us:.1f}",
            )
            rows.append((model.name, client.name, *figures))
    return table(
        (
            *("model", "client", "requests/s", "server's count", "p50 ms", "p95 ms", "p99 ms"),
            *("queue µs", "infer µs", "client CPU µs"),
        ),
        rows,
    )


_RECORD = f"""
import resource, time
import numpy as np
from tritongen.probe.engine import Log
from tritongen.probe.recorder import Recorder
log, recorder, sizes = Log(), Recorder(0), []
begun = time.process_time()
for index in range({RECORDED} // 100_000):
    sent = np.arange(100_000, dtype=np.int64) * 100_000 + index * 10_000_000_000
    log.sent.frombytes(sent.tobytes())
    log.done.frombytes((sent + 500_000).tobytes())
    recorder.take(log, closed=True, window=(0, 1 << 62))
    log.clear()
    sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
spent = time.process_time() - begun
print(recorder.successes, sizes[1], sizes[-1], spent)
"""


def memory() -> str:
    """Memory of a recorder after few requests and after ten million."""
    done = subprocess.run(
        [sys.executable, "-c", _RECORD], check=True, stdout=subprocess.PIPE, text=True
    )
    count, first, last, spent = done.stdout.split()
    cost = float(spent) / int(count) * 1e9
    row = (f"{int(count):,}", f"{int(first) / 1024:.1f}", f"{int(last) / 1024:.1f}", f"{cost:.0f}")
    return table(("requests", "MiB after 200,000", "MiB at the end", "ns a request"), [row])


def progress(what: str, reading: Reading) -> None:
    """One line on stderr."""
    found = reading.failure or f"{reading.throughput:,.0f}/s, p99 {reading.p99_us / 1e3:.2f} ms"
    print(f"{what}: {found}, CPU {reading.cpu_us:.1f} µs", file=sys.stderr)


def title(bench: Bench) -> str:
    """Where and when."""
    cpus, load = read_cpus(), os.getloadavg()[0]
    warning = (
        "**Other work used the machine meanwhile: these figures scatter too much to compare by. "
        "Run it again on a quiet one.**\n\n"
    )
    return (warning if load > BUSY_LOAD else "") + (
        f"{time.strftime('%Y-%m-%d')}, {cpus.model}, {cpus.affinity} cores shared by server and "
        f"client, Python {platform.python_version()}; Triton {bench.served.version}, "
        f"tritongen {__version__}, perf_analyzer {PERF_ANALYZER}. Load average at the begin: "
        f"{load:.1f}.\n"
    )


def report(bench: Bench, size: Size) -> str:
    """All tables."""
    begun = time.monotonic()
    parts = [
        title(bench),
        f"## Closed loops, up to {size.rounds} interleaved rounds\n",
        closed_loops(bench, size),
        f"## Lateness of an open loop at {RATE:,}/s\n",
        lateness(bench, size),
        f"## Open loop at {STALL_RATE}/s, silent for {STALL_S:g} s in every {STALL_EVERY_S:g} s\n",
        stall(bench, size),
    ]
    if size.precision:
        parts += ["## Until each tool is content, with its own defaults\n", precision(bench)]
    parts += ["## The demo's models, concurrency 4\n", side_by_side(bench, size)]
    parts += ["## Recording\n", memory()]
    parts.append(f"All of it took {time.monotonic() - begun:.0f} s.\n")
    return "\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; write them, too, where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("-o", "--output", type=Path, help="write the tables to a file as well")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder) as server:
            text = report(Bench(server, folder), QUICK if arguments.quick else FULL)
    print(text)
    if arguments.output is not None:
        by = "Written by `python benchmarks/probe_vs_perf_analyzer.py -o docs/benchmarks/probe.md`."
        arguments.output.write_text(f"# The probe beside perf_analyzer\n\n{by}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
