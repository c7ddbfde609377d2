"""From `tritongen up` to all demo models ready, beside the time that Triton itself needs.

    .venv/bin/python benchmarks/server_start.py            both runtimes, about three minutes
    .venv/bin/python benchmarks/server_start.py --quick    two rounds of each, about a minute

Raw is the very same server, started without the tool and watched until every model answers: the
program with the arguments and the environment that the embedded runtime gives it, and the printed
`docker run` line. Both are started in turn; the ratio is the median of the ratios of neighbours.
The goal is 1.2.
"""

import argparse
import os
import secrets
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from serving_bench import MODELS, TRITONGEN, build, machine, print_table, slim_image, wait_ready
from tritongen.serving.docker.docker_runtime import DockerRuntime
from tritongen.serving.embedded.fetch import ensure_triton
from tritongen.serving.embedded.launch import launch
from tritongen.serving.embedded.layout import build_layout
from tritongen.serving.preflight import choose_ports
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.serving.server_spec import ServedRepository, UpOptions, server_spec
from tritongen.triton.server import ApiKeys
from tritongen.triton.server_state import StateStore

GOAL = 1.2
ROUNDS, QUICK_ROUNDS = 8, 2
FREE = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")


@dataclass(frozen=True)
class Contest:
    """One runtime: two ways to start the same server, each giving the seconds that it took."""

    name: str
    tool: Callable[[], float]
    raw: Callable[[], float]


def by_tool(project: Path, words: tuple[str, ...]) -> float:
    """`tritongen up`, which returns when every model is ready."""
    # An installed package has its modules compiled; so has a checkout after the first start.
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    up = [TRITONGEN, "up", *FREE, *words]
    begun = time.monotonic()
    subprocess.run(up, cwd=project, check=True, stdout=subprocess.DEVNULL, env=variables)
    seconds = time.monotonic() - begun
    subprocess.run(
        [TRITONGEN, "down", "--grace", "1"], cwd=project, check=True, stdout=subprocess.DEVNULL
    )
    return seconds


def raw_embedded(spec: ServerSpec) -> float:
    """The program of the wheel, as the runtime would start it."""
    layout = build_layout(ensure_triton())
    spec = replace(spec, ports=choose_ports(spec.host, spec.ports))
    server, keys = secrets.token_hex(8), ApiKeys.new()
    begun = time.monotonic()
    process = launch(spec, layout, server, keys)
    try:
        wait_ready(f"127.0.0.1:{spec.ports.http}", spec.models)
        return time.monotonic() - begun
    finally:
        process.terminate()
        process.wait()


def raw_docker(spec: ServerSpec, image: str) -> float:
    """The printed command, as a shell would run it."""
    chosen = replace(spec, ports=choose_ports(spec.host, spec.ports), image=image)
    line = DockerRuntime().run_line(chosen)
    begun = time.monotonic()
    done = subprocess.run(shlex.split(line), stdout=subprocess.PIPE, text=True, check=True)
    container = done.stdout.strip()
    try:
        wait_ready(f"127.0.0.1:{chosen.ports.http}", spec.models)
        return time.monotonic() - begun
    finally:
        subprocess.run(
            ["docker", "rm", "--force", container], check=True, stdout=subprocess.DEVNULL
        )


def contests(project: Path, wanted: Sequence[str], image: str) -> list[Contest]:
    """The runtimes to look at."""
    repository = project / "model_repository"
    project.joinpath(".tritongen").mkdir(exist_ok=True)
    options = UpOptions(ports=Ports(0, 0, 0))
    spec = server_spec(StateStore(project), ServedRepository.read(repository), options)
    found = []
    if "embedded" in wanted:
        ensure_triton()  # the download is nobody's start
        found.append(
            Contest(
                "embedded",
                lambda: by_tool(project, ("--runtime", "embedded")),
                lambda: raw_embedded(spec),
            )
        )
    if "docker" in wanted:
        name = image or slim_image()
        found.append(
            Contest(
                "docker",
                lambda: by_tool(project, ("--image", name)),
                lambda: raw_docker(spec, name),
            )
        )
    return found


def row(contest: Contest, rounds: int) -> tuple[str, ...]:
    """Both in turn, after one start of each that warms the disk's cache."""
    contest.raw()
    contest.tool()
    pairs = []
    for number in range(rounds):
        if number % 2:
            raw, tool = contest.raw(), contest.tool()
        else:
            tool, raw = contest.tool(), contest.raw()
        pairs.append((tool, raw))
    ratio = statistics.median(tool / raw for tool, raw in pairs)
    spread = sorted(tool / raw for tool, raw in pairs)
    return (
        contest.name,
        f"{statistics.median(raw for _, raw in pairs):.2f}",
        f"{statistics.median(tool for tool, _ in pairs):.2f}",
        f"{ratio:.2f} ({spread[0]:.2f} to {spread[-1]:.2f})",
        "met" if ratio <= GOAL else "missed",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two rounds of each")
    parser.add_argument("--image", default="", help="of Triton (default: the slim image)")
    parser.add_argument(
        "--runtime", action="append", choices=("embedded", "docker"), help="default: both"
    )
    options = parser.parse_args(argv)
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    with tempfile.TemporaryDirectory() as name:
        # The container's user must be able to read it.
        Path(name).chmod(0o755)
        project = Path(name) / "project"
        build(project, MODELS, cpus=min(4, os.cpu_count() or 1))
        found = contests(project, options.runtime or ("embedded", "docker"), options.image)
        table = [row(contest, rounds) for contest in found]
    print(f"{machine()}; {len(MODELS)} models, {rounds} rounds of either in turn\n")
    headers = ("runtime", "Triton alone, s", "`tritongen up`, s", "ratio", f"goal of {GOAL}")
    print_table(headers, table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
