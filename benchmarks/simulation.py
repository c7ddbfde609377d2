"""The queueing simulation: its speed, its error against theory, and beside a real Triton.

    .venv/bin/python benchmarks/simulation.py            speed and theory, seconds
    .venv/bin/python benchmarks/simulation.py --triton   a real Triton as well, three minutes

The real part serves a Python model whose execution sleeps for a time known exactly, so that it is
the scheduler that is compared and not the machine. Every server is fed the very arrival times
that are simulated.
"""

import argparse
import asyncio
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support import queueing_theory as theory
from support.queueing import Trace, operating_curve
from tritongen.queueing import (
    ClosedLoop,
    Loop,
    OpenLoop,
    RateStep,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    SimulatedModel,
    Stream,
    simulate,
    simulate_rates,
)
from tritongen.queueing.service_times import Spread

REQUESTS = 10_000
REPEATS = 3
SEEDS = 8
SECONDS = 10.0
# The sleeping model: seconds of one row, and of each further one.
FIRST_S, FURTHER_S = 0.020, 0.008
# Latencies of a real server scatter; the target is eight in ten within this share.
CLOSE = 0.10

MODEL = f"""
import time
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        time.sleep({FIRST_S} + {FURTHER_S} * (sum(len(rows) for rows in inputs) - 1))
        return [pb.InferenceResponse([pb.Tensor("Y", rows)]) for rows in inputs]
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "X" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [4] }]
instance_group [{ count: 2 kind: KIND_CPU }]
"""
# What the batcher is told, and the delay that is simulated; None for no batcher.
BATCHERS: dict[str, tuple[str, float | None]] = {
    "none": ("", None),
    "greedy": ("dynamic_batching { }", 0.0),
    "delay_30ms": ("dynamic_batching { max_queue_delay_microseconds: 30000 }", 0.03),
}
LOADS: tuple[OpenLoop | ClosedLoop, ...] = (OpenLoop(60.0), OpenLoop(90.0), ClosedLoop(12))


def best_of(action: Callable[[], object]) -> float:
    """Least seconds of some runs."""
    times = []
    for _ in range(REPEATS):
        begun = perf_counter()
        action()
        times.append(perf_counter() - begun)
    return min(times)


def speed() -> None:
    service = ServiceTimes((ServicePoint(1, 1, 0.005, cv=0.1), ServicePoint(8, 1, 0.020)), 2.0)
    print(f"{'simulated':<44}{'seconds':>10}{'µs a request':>14}")
    for name, load, delay_s in (
        ("open loop, no batching", OpenLoop(300.0), None),
        ("open loop, batches up to 8", OpenLoop(300.0), 0.0),
        ("open loop, batches up to 8 with a delay", OpenLoop(300.0), 0.002),
        ("closed loop, batches up to 8", ClosedLoop(16), 0.0),
    ):
        model = ServedModel("m", service, load, 2, 1, 8, delay_s)
        server = Server((model,), 2.0)
        seconds = best_of(partial(simulate, server, seed=1, requests=REQUESTS))
        each = seconds / REQUESTS * 1e6
        print(f"{f'{REQUESTS:,}: {name}':<44}{seconds:>10.3f}{each:>14.1f}")
    model = ServedModel("m", service, OpenLoop(100.0), 2, 1, 8, 0.0)
    week = [
        RateStep(60.0, 100.0 * (1.0 + 0.9 * math.sin(minute / 1440 * 2 * math.pi)))
        for minute in range(7 * 1440)
    ]

    def pass_week() -> None:
        simulate_rates(operating_curve(Server((model,), 2.0), "m", seed=1), week)

    requests = sum(step.seconds * step.rate_per_s for step in week)
    print(f"{f'a week in minutes, {requests:,.0f} requests':<44}{best_of(pass_week):>10.3f}")


def check_theory() -> None:
    print(f"\n{'mean wait, ms':<28}{'theory':>10}{'simulated':>12}{'error':>9}")
    for servers, rho in ((1, 0.5), (1, 0.8), (4, 0.8), (16, 0.9)):
        rate = rho * servers / 0.01
        service = ServiceTimes(
            (ServicePoint(1, 1, 0.01),), 1e6, contention=0.0, spread=Spread.EXPONENTIAL
        )
        model = ServedModel("m", service, OpenLoop(rate), servers)
        row(f"M/M/{servers} at {rho:.0%}", theory.mmc_mean_wait(servers, rate, 0.01), model)
    for rho in (0.5, 0.8):
        service = ServiceTimes((ServicePoint(1, 1, 0.01),), 1e6, contention=0.0)
        model = ServedModel("m", service, OpenLoop(rho / 0.01))
        row(f"M/D/1 at {rho:.0%}", theory.mg1_mean_wait(rho / 0.01, 0.01), model)


def row(name: str, expected: float, model: ServedModel) -> None:
    waits = [
        simulate(Server((model,), 1e6), seed=seed, requests=100_000).of("m").mean_wait_s
        for seed in range(SEEDS)
    ]
    found = sum(waits) / SEEDS
    print(f"{name:<28}{expected * 1e3:>10.3f}{found * 1e3:>12.3f}{found / expected - 1:>+9.1%}")


@dataclass(frozen=True)
class Measured:
    """What clients of a real server saw, and the rows of its executions."""

    latencies_s: list[float]
    seconds: float
    mean_batch: float

    def latency_s(self, percentile: float) -> float:
        rank = math.ceil(percentile / 100.0 * len(self.latencies_s))
        return sorted(self.latencies_s)[max(0, rank - 1)]


class Clients:
    """gRPC clients of one server, in the loop of the caller."""

    def __init__(self, address: str) -> None:
        import numpy as np
        from tritonclient.grpc import InferInput, aio

        self._client = aio.InferenceServerClient(address)
        self._input = InferInput("X", [1, 4], "FP32")
        self._input.set_data_from_numpy(np.zeros((1, 4), np.float32))

    async def measure(self, model: str, load: Loop, seconds: float) -> Measured:
        before = await self._counts(model)
        begun = perf_counter()
        if isinstance(load, ClosedLoop):
            clients = (self._client_until(model, begun + seconds) for _ in range(load.concurrency))
            found = [latency for part in await asyncio.gather(*clients) for latency in part]
        else:
            found = await self._paced(model, begun, arrivals(load, seconds))
        taken = perf_counter() - begun
        after = await self._counts(model)
        return Measured(found, taken, (after[0] - before[0]) / (after[1] - before[1]))

    async def execution_s(self, model: str) -> float:
        """Mean time of an execution so far, by the server's statistics."""
        statistics = await self._client.get_inference_statistics(model)
        entry = statistics.model_stats[0]
        return float(entry.inference_stats.compute_infer.ns / entry.execution_count * 1e-9)

    async def close(self) -> None:
        await self._client.close()

    async def _client_until(self, model: str, end: float) -> list[float]:
        found = []
        while (begun := perf_counter()) < end:
            await self._client.infer(model, [self._input])
            found.append(perf_counter() - begun)
        return found

    async def _paced(self, model: str, begun: float, times: tuple[float, ...]) -> list[float]:
        async def request(due: float) -> float:
            await self._client.infer(model, [self._input])
            return perf_counter() - due

        tasks = []
        for time in times:
            await asyncio.sleep(max(0.0, begun + time - perf_counter()))
            tasks.append(asyncio.create_task(request(begun + time)))
        return list(await asyncio.gather(*tasks))

    async def _counts(self, model: str) -> tuple[int, int]:
        statistics = await self._client.get_inference_statistics(model)
        entry = statistics.model_stats[0]
        return entry.inference_count, entry.execution_count


def arrivals(load: OpenLoop | Trace, seconds: float) -> tuple[float, ...]:
    times: Iterator[float] = load.times(Stream(7))
    found = []
    while (time := next(times)) < seconds:
        found.append(time)
    return tuple(found)


def predicted(
    load: OpenLoop | ClosedLoop, delay_s: float | None, extra_s: float, transport_s: float
) -> SimulatedModel:
    """The same load on the same settings; an open loop by the same arrival times."""
    points = (
        ServicePoint(1, 1, FIRST_S + extra_s),
        ServicePoint(8, 1, FIRST_S + 7 * FURTHER_S + extra_s),
    )
    service = ServiceTimes(points, 1000.0, contention=0.0)
    feed: Loop | Trace = load
    if isinstance(load, OpenLoop):
        feed = Trace(arrivals(load, SECONDS))
    model = ServedModel("m", service, feed, 2, 1, 8, delay_s, transport_s=transport_s)
    warmup = 0.0 if isinstance(feed, Trace) else 0.1
    return simulate(Server((model,), 1000.0), seed=1, requests=5_000, warmup=warmup).of("m")


def label(load: OpenLoop | ClosedLoop) -> str:
    if isinstance(load, ClosedLoop):
        return f"{load.concurrency} clients"
    return f"{load.rate_per_s:g}/s"


async def compare(address: str) -> None:
    clients = Clients(address)
    await clients.measure("none", ClosedLoop(1), 1.0)
    alone = await clients.measure("none", ClosedLoop(1), 2.0)
    execution_s = await clients.execution_s("none")
    transport_s = sum(alone.latencies_s) / len(alone.latencies_s) - execution_s
    print(f"\n{'real / simulated':<34}{'batch':>14}{'p50, ms':>16}{'p99, ms':>16}{'error':>8}")
    errors: list[list[float]] = []
    for name, (_, delay_s) in BATCHERS.items():
        for load in LOADS:
            real = await clients.measure(name, load, SECONDS)
            found = predicted(load, delay_s, execution_s - FIRST_S, transport_s)
            pairs = [
                (real.mean_batch, found.mean_batch),
                (real.latency_s(50) * 1e3, found.latency_s(50) * 1e3),
                (real.latency_s(99) * 1e3, found.latency_s(99) * 1e3),
            ]
            errors.append([abs(b / a - 1.0) for a, b in pairs])
            cells = "".join(f"{a:>8.2f} / {b:<5.2f}" for a, b in pairs)
            error = pairs[-1][1] / pairs[-1][0] - 1.0
            print(f"{name + ', ' + label(load):<34}{cells}{error:>+8.0%}")
    for name, column in zip(("batch", "p50", "p99"), zip(*errors, strict=True), strict=True):
        close = sum(error <= CLOSE for error in column)
        print(f"{name} within {CLOSE:.0%}: {close} of {len(column)}")
    await clients.close()


def real_triton() -> None:
    from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime
    from tritongen.serving.protocol import Ports, ServerSpec
    from tritongen.triton.server_state import project_label

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, (text, _) in BATCHERS.items():
            version = folder / "repository" / model / "1"
            version.mkdir(parents=True)
            (version / "model.py").write_text(MODEL)
            (version.parent / "config.pbtxt").write_text(CONFIG + text)
        spec = ServerSpec(
            repository=folder / "repository",
            models=tuple(sorted(BATCHERS)),
            log=folder / "server.log",
            project=folder,
            label=project_label(folder),
            ports=Ports(0, 0, 0),
        )
        server = EmbeddedRuntime().start(spec)
        try:
            server.wait_ready(180.0)
            asyncio.run(compare(server.endpoints.grpc))
        finally:
            server.stop(grace=5.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triton", action="store_true", help="compare with a real Triton too")
    parser.add_argument("--quick", action="store_true", help="speed and theory only, the default")
    arguments = parser.parse_args(argv)
    speed()
    check_theory()
    if arguments.triton and not arguments.quick:
        real_triton()
    return 0


if __name__ == "__main__":
    sys.exit(main())
