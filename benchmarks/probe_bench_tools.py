"""perf_analyzer, wrk and `tritongen probe` as processes, watched from outside in the same way.

CPU time is read from the kernel and requests from the server, for the same stretch in the middle
of each run, so that neither tool is asked about itself and starting up costs nothing.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe_bench_models import TRITONGEN, Model, Served
from probe_bench_wrk import read_wrk, wrk_command
from tritongen.system.process_usage import local_server

PERF_ANALYZER = "2.60.0"
_CACHE = Path.home() / ".cache/tritongen/benchmarks"
_SETTLE_S = 1.0
_POLL_S = 0.05
# A run that takes longer hangs; one that ends by the tool's own rule may take as long.
_LONGEST_S, _LONGEST_OWN_S = 30.0, 150.0
_HUNG = "hung"


@dataclass(frozen=True)
class Reading:
    """One run of one tool.

    Attributes:
        throughput: requests per second as the tool reports them, 0 when it reports nothing.
        p50_us: as the tool reports it, 0 when it reports nothing.
        p95_us: likewise.
        p99_us: likewise.
        served_per_s: requests per second by the server's count, in the stretch watched.
        cpu_us: the tool's CPU time for one request there.
        wall_s: from start to exit.
        failure: its last words when it reports nothing.
        queue_us: as the tool reports it.
        infer_us: likewise.
        more: of tritongen, the level's JSON.
    """

    throughput: float = 0.0
    p50_us: float = 0.0
    p95_us: float = 0.0
    p99_us: float = 0.0
    served_per_s: float = 0.0
    cpu_us: float = 0.0
    wall_s: float = 0.0
    failure: str = ""
    queue_us: float = 0.0
    infer_us: float = 0.0
    more: dict[str, Any] | None = None


def perf_analyzer() -> Path:
    """The program itself, from its wheel in a virtual environment that is made once."""
    home = _CACHE / f"perf-analyzer-{PERF_ANALYZER}"
    found = list(home.glob("lib/python*/site-packages/perf_analyzer/bin/perf_analyzer"))
    if not found:
        print(f"installing perf-analyzer {PERF_ANALYZER} (once)", file=sys.stderr)
        venv.create(home, with_pip=True)
        wanted = f"perf-analyzer=={PERF_ANALYZER}"
        subprocess.run([home / "bin/python", "-m", "pip", "install", "-q", wanted], check=True)
        found = list(home.glob("lib/python*/site-packages/perf_analyzer/bin/perf_analyzer"))
    return found[0]


@dataclass(frozen=True)
class Client:
    """A tool with a protocol.

    Attributes:
        name: for the tables.
        protocol: ``http`` or ``grpc``.
        ours: whether it is tritongen.
        asynchronous: perf_analyzer's way of sending.
        sends: what tritongen sends with.
    """

    name: str
    protocol: str
    ours: bool
    asynchronous: bool = True
    sends: str = "fast"


PA_GRPC = Client("perf_analyzer gRPC", "grpc", ours=False)
PA_HTTP = Client("perf_analyzer HTTP", "http", ours=False, asynchronous=False)
PA_GRPC_SYNC = Client("perf_analyzer gRPC, sync", "grpc", ours=False, asynchronous=False)
OUR_GRPC = Client("tritongen gRPC", "grpc", ours=True)
OUR_HTTP = Client("tritongen HTTP", "http", ours=True)
PYTHON_GRPC = Client("tritonclient gRPC", "grpc", ours=True, sends="tritonclient")
PYTHON_HTTP = Client("tritonclient HTTP", "http", ours=True, sends="tritonclient")
WRK_HTTP = Client("wrk HTTP", "http", ours=False)


@dataclass(frozen=True)
class Load:
    """What to ask of a client.

    Attributes:
        concurrency: of a closed loop, 0 for an open one.
        rate: of an open loop, constant gaps.
        seconds: measured; of perf_analyzer, one of at least three windows. 0 leaves the time to
            the tool's own rule, with its defaults.
    """

    concurrency: int = 0
    rate: int = 0
    seconds: float = 3.0


class Bench:
    """Runs clients against a server.

    Args:
        served: the server.
        folder: for their files.
    """

    def __init__(self, served: Served, folder: Path) -> None:
        self.served, self.folder = served, folder
        self._perf_analyzer = perf_analyzer()

    def run(self, client: Client, model: Model, load: Load, *, watch_s: float = 0.0) -> Reading:
        """One run; `watch_s` is the length of the stretch that is watched, 0 for none."""
        reading = self._once(client, model, load, watch_s)
        # perf_analyzer hangs now and then with large tensors; the next try mostly works.
        again = model.large and reading.failure.startswith(_HUNG)
        return self._once(client, model, load, watch_s) if again else reading

    def _once(self, client: Client, model: Model, load: Load, watch_s: float) -> Reading:
        out = self.folder / ("log" if client is WRK_HTTP else "out")
        if client is WRK_HTTP and shutil.which("wrk") is None:
            return Reading(failure="not installed")
        out.unlink(missing_ok=True)
        command = self._command(client, model, load, out)
        begun = time.monotonic()
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
            try:
                seen = _watch(process, lambda: self.served.count(model.name), watch_s)
                code = process.wait(_LONGEST_S if load.seconds else _LONGEST_OWN_S)
            except subprocess.TimeoutExpired:
                wall = time.monotonic() - begun
                return Reading(wall_s=wall, failure=f"{_HUNG}, ended after {wall:.0f} s")
            finally:
                process.kill()
                process.wait()
        wall = time.monotonic() - begun
        if code or not out.exists():
            words = (self.folder / "log").read_text().split("\n")
            failure = next((line for line in reversed(words) if line.strip()), "no output")
            return Reading(wall_s=wall, failure=failure.strip()[:120])
        read = _read_ours if client.ours else _read_theirs
        return (_read_wrk if client is WRK_HTTP else read)(out, wall, seen)

    def _command(self, client: Client, model: Model, load: Load, out: Path) -> list[str | Path]:
        if client is WRK_HTTP:
            address = self._address(client)
            return [*wrk_command(address, model, load.concurrency, load.seconds, self.folder)]
        return (self._ours if client.ours else self._theirs)(client, model, load, out)

    def _address(self, client: Client) -> str:
        return self.served.http if client.protocol == "http" else self.served.grpc

    def _ours(self, client: Client, model: Model, load: Load, out: Path) -> list[str | Path]:
        kind = ("--concurrency", str(load.concurrency))
        if load.rate:
            kind = ("--rate", str(load.rate))
        time_given = ("--duration", f"{load.seconds}") if load.seconds else ("--time-budget", "30s")
        values = [word for name in model.inputs for word in ("--values", f"{name}=zeros")]
        shapes = [word for name, dims in model.shapes for word in ("--shape", f"{name}:{dims}")]
        target = ("-m", model.name, "-u", self._address(client), "--protocol", client.protocol)
        words = (*target, *kind, "--arrivals", "constant", *time_given, *values, *shapes)
        words = (*words, "--client", client.sends)
        return [TRITONGEN, "probe", *words, "--format", "json", "-o", out]

    def _theirs(self, client: Client, model: Model, load: Load, out: Path) -> list[str | Path]:
        kind = ("--concurrency-range", str(load.concurrency))
        if load.rate:
            kind = ("--request-rate-range", str(load.rate), "--request-distribution", "constant")
        # A noisy machine would end the run without numbers; any three windows will do.
        window = ("-p", f"{load.seconds * 1e3:.0f}", "--stability-percentage", "999")
        time_given = window if load.seconds else ()
        shapes = [word for name, dims in model.shapes for word in ("--shape", f"{name}:{dims}")]
        way = ("--async",) if client.asynchronous else ()
        if model.large and client.asynchronous:
            # With its default of several threads it hangs in most runs, with one in none.
            way = (*way, "--max-threads", "1")
        target = ("-m", model.name, "-u", self._address(client), "-i", client.protocol)
        words = (*target, *kind, *time_given, *way, "--input-data", "zero", *shapes)
        return [self._perf_analyzer, *words, "-f", out]


@contextmanager
def apart(served: Served) -> Iterator[None]:
    """The server has the first core to itself and the client the second, until the block ends."""
    cores = sorted(os.sched_getaffinity(0))
    host, _, port = served.http.rpartition(":")
    pid = local_server(host, int(port))
    if len(cores) < 2 or pid is None:
        raise SystemExit("this part needs two cores and the server's process")
    try:
        _pin(pid, {cores[0]})
        # The clients are started by this process and run where it runs.
        os.sched_setaffinity(0, {cores[1]})
        yield
    finally:
        os.sched_setaffinity(0, cores)
        _pin(pid, set(cores))


def _pin(pid: int, cores: set[int]) -> None:
    """All threads of a process and of those that it started."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)
        for child in (thread / "children").read_text().split():
            _pin(int(child), cores)


def _watch(
    process: "subprocess.Popen[bytes]", count: Callable[[], int], seconds: float
) -> tuple[float, float]:
    """(requests per second, CPU microseconds a request) in a stretch of a run; zeros for none."""
    if not seconds:
        return 0.0, 0.0
    before, limit = count(), time.monotonic() + _LONGEST_S
    while process.poll() is None and count() < before + 20 and time.monotonic() < limit:
        time.sleep(_POLL_S)
    time.sleep(_SETTLE_S)
    begun, first, cpu = time.monotonic(), count(), _cpu_ns(process.pid)
    time.sleep(seconds)
    spent, last, now = _cpu_ns(process.pid) - cpu, count(), time.monotonic()
    if process.poll() is not None or last == first or spent <= 0:
        return 0.0, 0.0
    return (last - first) / (now - begun), spent / 1e3 / (last - first)


def _cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process so far, nanoseconds; 0 when it is gone."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)
    except OSError:
        return 0


def _read_ours(path: Path, wall: float, seen: tuple[float, float]) -> Reading:
    (level,) = json.loads(path.read_text())["levels"]

    def value(found: dict[str, float] | None) -> float:
        return found["value"] if found else 0.0

    server = level["server"] or {}
    return Reading(
        value(level["throughput_per_s"]),
        value(level["latency_us"]["p50"]),
        value(level["latency_us"]["p95"]),
        value(level["latency_us"]["p99"]),
        *seen,
        wall_s=wall,
        queue_us=server.get("queue_us", 0.0),
        infer_us=server.get("compute_infer_us", 0.0),
        more=level,
    )


def _read_theirs(path: Path, wall: float, seen: tuple[float, float]) -> Reading:
    with path.open() as file:
        row = next(csv.DictReader(file))

    def value(key: str) -> float:
        return float(row.get(key) or 0.0)

    return Reading(
        value("Inferences/Second"),
        value("p50 latency"),
        value("p95 latency"),
        value("p99 latency"),
        *seen,
        wall_s=wall,
        queue_us=value("Server Queue"),
        infer_us=value("Server Compute Infer"),
    )


def _read_wrk(path: Path, wall: float, seen: tuple[float, float]) -> Reading:
    rate, percentiles, failure = read_wrk(path.read_text())
    p50, p99 = (percentiles.get(key, 0.0) for key in ("p50", "p99"))
    return Reading(rate, p50, 0.0, p99, *seen, wall_s=wall, failure=failure)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
