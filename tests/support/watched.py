"""Whole commands as processes of their own: their ends, their memory at its peak, their time."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from support.cli import SECONDS
from support.commands import watch_command


@dataclass(frozen=True)
class Watched:
    """How one command ended.

    Attributes:
        code: of its exit.
        peak: bytes of memory of the largest of its processes.
        ended_s: when it was gone, seconds since 1970.
        printed: on both streams.
        folder: where it ran.
    """

    code: int
    peak: int
    ended_s: float
    printed: str
    folder: Path

    @property
    def limited_seconds(self) -> float:
        """From where its time limit began, with all modules loaded, until it was gone."""
        log = (self.folder / ".tritongen/tritongen.log").read_text(encoding="utf-8")
        begun = log.partition(" INFO tritongen.cli.time_limit: ")[0].splitlines()[-1].split()[0]
        return self.ended_s - datetime.fromisoformat(begun).timestamp()


def rooms(folder: Path, commands: Iterable[list[str]]) -> list[tuple[Path, list[str]]]:
    """Jobs that may run at once: each command in a folder of its own, where its log is written."""
    jobs = [(folder / f"run{place}", words) for place, words in enumerate(commands)]
    for room, _ in jobs:
        (room / ".tritongen").mkdir(mode=0o700, parents=True)
    return jobs


def watched(jobs: Sequence[tuple[Path, Sequence[str]]], at_once: int = 1) -> list[Watched]:
    """Run commands to their ends.

    Args:
        jobs: the folder in which each runs, and its arguments.
        at_once: as many.
    """
    with ThreadPoolExecutor(at_once) as pool:
        return [*pool.map(_watched, jobs)]


def _watched(job: tuple[Path, Sequence[str]]) -> Watched:
    folder, words = job
    path = folder / "printed"
    with path.open("wb") as printed:
        end = watch_command(words, folder, printed, SECONDS)
    return Watched(end.code, end.peak, end.ended_s, path.read_text(encoding="utf-8"), folder)
