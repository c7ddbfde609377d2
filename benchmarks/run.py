"""Runs benchmarks, each in a process of its own, and keeps their tables in docs/benchmarks/.

    .venv/bin/python benchmarks/run.py                  all of them; an hour or two
    .venv/bin/python benchmarks/run.py startup tune     these
    .venv/bin/python benchmarks/run.py --quick          a look at each; keeps nothing
    .venv/bin/python benchmarks/run.py --list           what there is

A benchmark is a program that prints Markdown and has a short run. Peers are installed into virtual
environments of their own, once, below ~/.cache/tritongen/benchmarks.
"""

import argparse
import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

HERE = Path(__file__).resolve().parent
PAGES = HERE.parent / "docs" / "benchmarks"
# Versions that the figures depend on.
LIBRARIES = ("tritongen", "numpy", "onnx", "onnxruntime", "protobuf", "tritonclient")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One program of this folder.

    Attributes:
        module: its file, without the ending.
        title: of its page.
        arguments: for the full run.
        quick: for a short one.
    """

    module: str
    title: str
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--quick",)


# Quick ones first; each name is a file of this folder.
BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark("startup", "How soon the command line answers"),
    Benchmark("inspect_2gb", "Facts of a 2 GB ONNX file"),
    Benchmark("inspect_formats", "Facts of 1 GB archives"),
    Benchmark("thousand_models", "A thousand models"),
    Benchmark("simulation", "The simulated server", ("--triton",)),
    Benchmark("plan", "Planning machines and replicas", quick=("--models", "5")),
    Benchmark("week", "A week of traffic, replayed", quick=("--seconds", "21")),
    Benchmark("roofline", "The roofline estimate held against a CPU"),
    Benchmark("gpu", "On a GPU: what was planned and what is measured"),
    Benchmark("capacity", "Predicted against measured capacity"),
    Benchmark("server_start", "From the command to the first answer"),
    Benchmark("cpu_truth", "Threads that work against threads that were planned"),
    Benchmark("freed_batch", "A fixed batch axis against a freed one"),
    Benchmark("optimize_large", "Optimising large models"),
    Benchmark("quantisation", "Quantised models: size, speed, accuracy"),
    Benchmark("probe_vs_perf_analyzer", "The probe beside perf_analyzer"),
    # Goes on where it was; what is not measured is named on the page.
    Benchmark("tune", "The tuner beside Model Analyzer", ("--bounded", "--minutes", "40")),
)
BY_NAME = {item.module: item for item in BENCHMARKS}


def machine() -> str:
    """One line on where and with what the figures were taken."""
    versions = []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    where = f"{processor()}, {cores} CPUs, {memory:.0f} GiB; Linux {platform.release()}"
    python = f"Python {platform.python_version()}"
    return f"{dt.date.today():%d %B %Y} · {where} · {python}, {', '.join(versions)}"


def processor() -> str:
    """The processor's name, its architecture where the kernel does not tell."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def page(benchmark: Benchmark, output: str) -> str:
    """The Markdown page of one run."""
    lines = output.strip().splitlines()
    if lines and lines[0].startswith("# "):
        lines = lines[1:]
    body = "\n".join(lines).strip()
    if not any(line.startswith("|") for line in lines):
        body = f"```text\n{body}\n```"
    command = f"python benchmarks/run.py {benchmark.module}"
    return f"# {benchmark.title}\n\n{machine()}\n\nAgain with `{command}`.\n\n{body}\n"


def perform(benchmark: Benchmark, *, quick: bool) -> bool:
    """Run one, print what it prints, and keep its page; whether it succeeded."""
    begun = monotonic()
    print(f"## {benchmark.title} ({benchmark.module})\n", flush=True)
    arguments = benchmark.quick if quick else benchmark.arguments
    done = subprocess.run(
        [sys.executable, HERE / f"{benchmark.module}.py", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(done.stdout, flush=True)
    took = f"{benchmark.module}: {monotonic() - begun:.0f} s"
    if done.returncode:
        print(f"{took}, failed with status {done.returncode}", file=sys.stderr)
        return False
    print(took, file=sys.stderr)
    if not quick:
        PAGES.mkdir(parents=True, exist_ok=True)
        (PAGES / f"{benchmark.module}.md").write_text(page(benchmark, done.stdout), "utf-8")
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was named; 1 when one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of benchmarks; all when none")
    parser.add_argument("--quick", action="store_true", help="short runs, no pages")
    parser.add_argument("--list", action="store_true", help="name them and end")
    options = parser.parse_args(argv)
    if options.list:
        print("\n".join(f"{item.module:<24}{item.title}" for item in BENCHMARKS))
        return 0
    unknown = [name for name in options.names if name not in BY_NAME]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BY_NAME)}")
    chosen = [BY_NAME[name] for name in options.names] or list(BENCHMARKS)
    print(f"{machine()}\n", flush=True)
    results = [perform(item, quick=options.quick) for item in chosen]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
