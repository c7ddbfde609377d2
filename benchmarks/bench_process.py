"""One process, measured from outside: seconds, peak memory, and what it printed."""

import os
import statistics
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from time import perf_counter

TRITONGEN = Path(sys.executable).with_name("tritongen")
MODEL_ANALYZER = "1.58.0"
_CACHE = Path.home() / ".cache/tritongen/benchmarks"


@dataclass(frozen=True, slots=True)
class Ran:
    """One process.

    Attributes:
        seconds: from start to exit.
        cpu: seconds of CPU time, of all its threads and children.
        peak: of resident memory in bytes; never less than this process's own when it started.
        output: its standard output.
    """

    seconds: float
    cpu: float
    peak: int
    output: str


def apart(work: Callable[[], None]) -> None:
    """Do something in a child, so that this process stays small: the kernel counts its memory
    among the peak of what it starts.

    Raises:
        SystemExit: it failed.
    """
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("a child failed")


def measured(command: Sequence[str | Path]) -> Ran:
    """Run a command to its end; its standard error is dropped.

    Raises:
        SystemExit: it failed.
    """
    read, write = os.pipe()
    words = [os.fspath(word) for word in command]
    start = perf_counter()
    child = os.posix_spawn(
        words[0],
        words,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, write, 1),
            (os.POSIX_SPAWN_CLOSE, read),
        ],
    )
    os.close(write)
    with os.fdopen(read) as output:
        text = output.read()
    _, status, usage = os.wait4(child, 0)
    seconds = perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(words)} failed with status {status}\n{text}")
    return Ran(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, text)


def interleaved(runs: Sequence[Callable[[], Ran]], rounds: int) -> list[list[Ran]]:
    """Every run in turn, round by round, so that a busy machine meets them all alike."""
    found: list[list[Ran]] = [[] for _ in runs]
    for _ in range(rounds):
        for index, once in enumerate(runs):
            found[index].append(once())
    return found


def milliseconds(runs: Sequence[Ran]) -> tuple[float, float]:
    """Least and median of the seconds, in milliseconds."""
    seconds = [item.seconds * 1e3 for item in runs]
    return min(seconds), statistics.median(seconds)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; every column but the first to the right."""
    rule = ["---", *("---:" for _ in headers[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headers, rule, *rows)) + "\n"


def model_analyzer() -> Path:
    """The peer's command, in a virtual environment that is made once."""
    home = _CACHE / f"model-analyzer-{MODEL_ANALYZER}"
    found = home / "bin" / "model-analyzer"
    if not found.exists():
        print(f"installing triton-model-analyzer {MODEL_ANALYZER} (once)", file=sys.stderr)
        venv.create(home, with_pip=True)
        wanted = f"triton-model-analyzer=={MODEL_ANALYZER}"
        run([home / "bin/python", "-m", "pip", "install", "-q", wanted], check=True)
    return found
