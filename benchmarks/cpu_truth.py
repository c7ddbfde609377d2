"""One CPU on a larger machine: the auto-completed configuration, and the plan's.

    .venv/bin/python benchmarks/cpu_truth.py            all demo models, about four minutes
    .venv/bin/python benchmarks/cpu_truth.py --quick    two models, short blocks, about a minute

For each model two containers run at once, each limited to one CPU (`docker run --cpus 1`). One
serves the bare model file, so that its configuration is auto-completed; the other serves what
`tritongen build --cpus 1` wrote. The prober loads one after the other in turn, with 8 requests
outstanding. Threads are counted in /proc while the load runs, throttled periods in the container's
own cpu.stat.
"""

import argparse
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from serving_bench import MODELS, build, machine, print_table, slim_image
from tritongen.probe.level import Conditions
from tritongen.probe.probe_models import probe
from tritongen.probe.probe_request import ModelChoice, ProbeRequest
from tritongen.probe.statistics.measurement import LevelResult
from tritongen.queueing import ClosedLoop
from tritongen.serving.docker.docker_runtime import DockerRuntime
from tritongen.serving.docker.docker_server import DockerServer
from tritongen.serving.protocol import Ports
from tritongen.serving.server_spec import ServedRepository, UpOptions, server_spec
from tritongen.triton.http_client import HttpClient
from tritongen.triton.server_state import StateStore

CONCURRENCY = 8
CORES = 1
_READY_S = 120.0


@dataclass(frozen=True)
class Effort:
    """How much is measured: rounds, each a block of so many seconds on either side."""

    rounds: int
    seconds: float
    models: tuple[str, ...]


WHOLE = Effort(5, 3.0, MODELS)
QUICK = Effort(2, 1.5, ("digits", "magika"))


@dataclass
class Side:
    """One configuration, served.

    Attributes:
        title: for the table.
        server: its container.
        models: folder with the intent that says what inputs look like.
        blocks: throughput per second and p99 in milliseconds of each block.
        threads: most threads of the backends' processes that were seen.
        periods: periods of the CPU's scheduler under load, and those of them that were throttled.
    """

    title: str
    server: DockerServer
    models: Path
    blocks: list[tuple[float, float]] = field(default_factory=list)
    threads: int = 0
    periods: tuple[int, int] = (0, 0)

    def processes(self) -> list[int]:
        """Processes of the container, numbered as on this machine."""
        table = self.server.processes()
        return [pid for pid, _ in table]

    def count_threads(self) -> None:
        """Looks at the processes in which models run."""
        pids = [pid for pid, command in self.server.processes() if "stub" in command]
        count = sum(_threads(pid) for pid in pids or self.processes())
        self.threads = max(self.threads, count)

    def throttling(self) -> tuple[int, int]:
        """Periods so far, and throttled ones."""
        (pid, *_) = self.processes()
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines()
        # cgroup v1 has a hierarchy for the CPU controller, v2 one for all.
        for line in sorted(lines, reverse=True):
            _, controllers, place = line.split(":", 2)
            if controllers.split(",")[0] in {"cpu", "cpu,cpuacct", ""}:
                path = Path("/sys/fs/cgroup", controllers, place.lstrip("/"), "cpu.stat")
                text = path.read_text(encoding="ascii") if path.exists() else ""
                if "nr_periods" in text:
                    numbers = dict(item.split() for item in text.splitlines())
                    return int(numbers["nr_periods"]), int(numbers["nr_throttled"])
        return 0, 0

    def block(self, model: str, seconds: float) -> None:
        """Loads it for so long."""
        before = self.throttling()
        looking = threading.Timer(seconds / 2, self.count_threads)
        looking.start()
        request = ProbeRequest(
            models=(ModelChoice(model),),
            url=self.server.endpoints.http,
            loads=(ClosedLoop(CONCURRENCY),),
            conditions=Conditions(budget_s=seconds, fixed=True, warmup_s=0.5),
            intent=self.models / "tritongen.yaml",
        )
        (level,) = probe(self.models.parent, request).levels
        looking.join()
        after = self.throttling()
        self.blocks.append(_figures(level))
        self.periods = (
            self.periods[0] + after[0] - before[0],
            self.periods[1] + after[1] - before[1],
        )

    def instances(self, model: str) -> int:
        """Instances as the server counts them."""
        with HttpClient(self.server.endpoints.http) as client:
            groups = client.model_config(model).get("instance_group", ())
        return sum(int(group["count"]) for group in groups)


def _threads(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return 0


def _figures(level: LevelResult) -> tuple[float, float]:
    rate = level.throughput.value if level.throughput else 0.0
    total = level.latency.histogram.total
    return rate, level.latency.histogram.quantile(0.99) / 1e6 if total else 0.0


@contextmanager
def served(title: str, project: Path, image: str) -> Iterator[Side]:
    """A container with one CPU for a project's repository."""
    repository = project / "model_repository"
    wanted = UpOptions(ports=Ports(0, 0, 0), image=image)
    project.joinpath(".tritongen").mkdir(exist_ok=True)
    spec = server_spec(StateStore(project), ServedRepository.read(repository), wanted)
    server = DockerRuntime().start(replace(spec, cores=CORES))
    try:
        statuses = server.wait_ready(_READY_S)
        if failed := [item for item in statuses if not item.ready]:
            raise SystemExit(f"{title}: {failed[0].name} does not serve: {failed[0].reason}")
        yield Side(title, server, project / "models")
    finally:
        server.stop(1)


def bare(project: Path, model: str, folder: Path) -> Path:
    """The same model without a configuration and without a lock."""
    other = folder / f"{model}-bare"
    shutil.copytree(project / "models", other / "models")
    version = other / "model_repository" / model / "1"
    version.mkdir(parents=True)
    shutil.copy(project / "models" / model / "model.onnx", version)
    return other


def measure(model: str, folder: Path, image: str, effort: Effort) -> tuple[Side, Side]:
    """Both sides of one model."""
    project = folder / model
    build(project, (model,), cpus=CORES)
    with ExitStack() as stack:
        own = stack.enter_context(served("auto-completed", bare(project, model, folder), image))
        plan = stack.enter_context(served("generated", project, image))
        for number in range(effort.rounds):
            order = (own, plan) if number % 2 else (plan, own)
            for side in order:
                side.block(model, effort.seconds)
        for side in (own, plan):
            count = side.instances(model)
            side.title += f", {count} instance{'s' if count > 1 else ''}"
        return own, plan


def rows(model: str, own: Side, plan: Side) -> Iterator[tuple[str, ...]]:
    """Their rows, the second with the medians of the ratios of blocks that were neighbours."""
    for side in (own, plan):
        rate = statistics.median(block[0] for block in side.blocks)
        p99 = statistics.median(block[1] for block in side.blocks)
        share = side.periods[1] / side.periods[0] if side.periods[0] else 0.0
        yield (
            model, side.title, str(side.threads), f"{share:.0%}",
            f"{rate:,.0f}", f"{p99:.1f}", _gain(own, plan) if side is plan else "",
        )  # fmt: skip


def _gain(own: Side, plan: Side) -> str:
    pairs = list(zip(own.blocks, plan.blocks, strict=True))
    rates = [mine[0] / its[0] for its, mine in pairs if its[0]]
    tails = [mine[1] / its[1] for its, mine in pairs if its[1]]
    if not rates or not tails:
        return "no answers"
    return f"{statistics.median(rates):.2f} × rate, {statistics.median(tails):.2f} × p99"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two models, short blocks")
    parser.add_argument("--image", default="", help="of Triton (default: the slim image)")
    options = parser.parse_args(argv)
    effort = QUICK if options.quick else WHOLE
    image = options.image or slim_image()
    table: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as name:
        # The container's user must be able to read it.
        Path(name).chmod(0o755)
        for model in effort.models:
            table += rows(model, *measure(model, Path(name), image, effort))
    print(f"{machine()}; containers limited to {CORES} CPU, {CONCURRENCY} requests outstanding, "
          f"{effort.rounds} rounds of {effort.seconds:g} s on either side in turn\n")  # fmt: skip
    headers = (
        "model", "configuration", "threads", "throttled periods", "requests/s", "p99 ms", "gain",
    )  # fmt: skip
    print_table(headers, table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
