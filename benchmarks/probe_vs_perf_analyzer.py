"""`tritongen probe` beside perf_analyzer and wrk, on one server, in interleaved rounds.

`probe` sends with both of its clients, the fast one and tritonclient.

    .venv/bin/python benchmarks/probe_vs_perf_analyzer.py                  half an hour
    .venv/bin/python benchmarks/probe_vs_perf_analyzer.py --parts large    eight minutes at most
    .venv/bin/python benchmarks/probe_vs_perf_analyzer.py --parts none     from what is kept
    .venv/bin/python benchmarks/probe_vs_perf_analyzer.py --quick          a look at everything, two

Each part's table is kept in the user's cache until that part is measured again; the page is put
together from them.
Both tools run on the machine of the server, as they do when a configuration is tuned. What a tool
costs is read from the kernel, what it really sent from the server's own count.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from probe_bench_closed import Size, closed_loops, milliseconds, progress, verdict
from probe_bench_models import (
    DEMO,
    DIGITS,
    IMAGE,
    MAGIKA,
    PAGES,
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
    PERF_ANALYZER,
    Bench,
    Load,
    apart,
    table,
)
from tritongen import __version__
from tritongen.system.machine import read_cpus

RATE, STALL_RATE = 1_000, 100
STALL_ERROR, LATE_US, SOONER = 0.05, 20.0, 0.5
RECORDED = 10_000_000
# A machine of which more than this is in use before the benchmark begins is not quiet.
BUSY_SHARE, BUSY_WATCH_S = 0.15, 2.0


FULL = Size(3, 1.4, 2.0, 5.0, precision=True)
QUICK = Size(1, 1.0, 1.0, 5.0, precision=False)


def small(bench: Bench, size: Size) -> str:
    """Closed loops on the tiny model."""
    return closed_loops(bench, size, [(TINY, 1), (TINY, 8), (TINY, 32)])


def large(bench: Bench, size: Size) -> str:
    """Closed loops with large tensors, and where computing dominates."""
    return closed_loops(bench, size, [(IMAGE, 8), (MAGIKA, 8), (PAGES, 8)])


def on_cores_of_their_own(bench: Bench, size: Size) -> str:
    """What is left of the difference where neither takes from the other's core."""
    with apart(bench.served):
        return closed_loops(bench, size, [(MAGIKA, 8)])


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


def precision(bench: Bench, size: Size) -> str:
    """How long each tool takes until it is content, with its own defaults."""
    if not size.precision:
        return "Left out of a short run.\n"
    rows = [row for model in (TINY, DIGITS, MAGIKA) for row in sooner(bench, model, "shared")]
    with apart(bench.served):
        rows += [row for model in (DIGITS, MAGIKA) for row in sooner(bench, model, "one each")]
    return table(("model", "cores", "client", "wall time", "it says", "target"), rows)


def sooner(bench: Bench, model: Model, cores: str) -> list[tuple[str, ...]]:
    """The two tools' rows for one model."""
    theirs = bench.run(PA_GRPC, model, Load(8, seconds=0))
    ours = bench.run(OUR_GRPC, model, Load(8, seconds=0))
    for client, reading in ((PA_GRPC, theirs), (OUR_GRPC, ours)):
        progress(f"own rule, {model.name} {client.name}", reading)
    precise, width = (False, ours.failure) if ours.more is None else width_of(ours.more)
    share = ours.wall_s / theirs.wall_s
    said = theirs.failure or f"p99 {theirs.p99_us / 1e3:.2f} ms, no interval"
    met = verdict(precise and share <= SOONER, f"p99 ± 10% in ≤ {SOONER}×")
    took = f"{ours.wall_s:.1f} s ({share:.2f}×)"
    return [
        (model.name, cores, PA_GRPC.name, f"{theirs.wall_s:.1f} s", said, ""),
        (model.name, cores, OUR_GRPC.name, took, width, met),
    ]


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
from tritongen.probe.load_engine import Log
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


def memory(_: Bench, __: Size) -> str:
    """Memory of a recorder after few requests and after ten million."""
    done = subprocess.run(
        [sys.executable, "-c", _RECORD], check=True, stdout=subprocess.PIPE, text=True
    )
    count, first, last, spent = done.stdout.split()
    cost = float(spent) / int(count) * 1e9
    row = (f"{int(count):,}", f"{int(first) / 1024:.1f}", f"{int(last) / 1024:.1f}", f"{cost:.0f}")
    return table(("requests", "MiB after 200,000", "MiB at the end", "ns a request"), [row])


def in_use() -> float:
    """Share of all cores that is in use, before anything of this benchmark runs."""

    def read() -> tuple[int, int]:
        values = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        return sum(values), values[3] + values[4]

    whole, idle = read()
    time.sleep(BUSY_WATCH_S)
    now, idle_now = read()
    return 1.0 - (idle_now - idle) / max(now - whole, 1)


def title(bench: Bench, used: float) -> str:
    """Where and when."""
    cpus = read_cpus()
    warning = (
        "**Other work used the machine meanwhile: these figures scatter too much to compare by. "
        "Run it again on a quiet one.**\n\n"
    )
    return (warning if used > BUSY_SHARE else "") + (
        f"{time.strftime('%Y-%m-%d')}, {cpus.model}, {cpus.affinity} cores shared by server and "
        f"client, Python {platform.python_version()}; Triton {bench.served.version}, "
        f"tritongen {__version__}, perf_analyzer {PERF_ANALYZER}. In use before: {used:.0%}.\n"
    )


# Each takes less than eight minutes.
PARTS: dict[str, tuple[str, Callable[[Bench, Size], str]]] = {
    "small": ("Closed loops, the tiny model", small),
    "large": ("Closed loops, large tensors and much computing", large),
    "apart": (
        "The same with a core for each: server on one, client on the other",
        on_cores_of_their_own,
    ),
    "lateness": (f"Lateness of an open loop at {RATE:,}/s", lateness),
    "stall": (
        f"Open loop at {STALL_RATE}/s, silent for {STALL_S:g} s in every {STALL_EVERY_S:g} s",
        stall,
    ),
    "precision": ("Until each tool is content, with its own defaults", precision),
    "demo": ("The demo's models, concurrency 4", side_by_side),
    "recording": ("Recording", memory),
}
KEPT = Path.home() / ".cache/tritongen/benchmarks/probe"


def measure(parts: Sequence[str], size: Size, kept: Path) -> None:
    """Measure these parts and keep their tables."""
    if not parts:
        return
    kept.mkdir(parents=True, exist_ok=True)
    used = in_use()
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as server:
        bench = Bench(server, Path(name))
        for part in parts:
            heading, run = PARTS[part]
            head, begun = title(bench, used), time.monotonic()
            text = run(bench, size)
            spent = f"This took {time.monotonic() - begun:.0f} s."
            (kept / f"{part}.md").write_text(f"## {heading}\n\n{head}\n{text}\n{spent}\n")


def report(kept: Path) -> str:
    """All tables that there are, in their order."""
    found = [kept / f"{part}.md" for part in PARTS]
    return "\n".join(file.read_text() for file in found if file.exists())


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; write them, too, where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--parts", default=",".join(PARTS), help="commas between; none for none")
    parser.add_argument("-o", "--output", type=Path, help="write the tables to a file as well")
    arguments = parser.parse_args(argv)
    parts = [part for part in arguments.parts.split(",") if part != "none"]
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    kept = KEPT.with_name("probe-quick") if arguments.quick else KEPT
    measure(parts, QUICK if arguments.quick else FULL, kept)
    text = report(kept)
    print(text)
    if arguments.output is not None:
        by = "Written by `python benchmarks/probe_vs_perf_analyzer.py -o docs/benchmarks/probe.md`."
        arguments.output.write_text(f"# The probe beside perf_analyzer\n\n{by}\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
