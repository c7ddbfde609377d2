"""Whole commands as processes of their own: their ends, their memory at its peak, their time."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from support.cli import SECONDS, TRITONGEN

# A child starts with the peak of the process that made it, which is small here.
_WATCH = """
import json, os, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor

def ended(job):
    folder, *words = job
    with open(folder + "/printed", "wb") as printed:
        words = ["timeout", "--kill-after=1", sys.argv[1], *words]
        streams = {"stdin": subprocess.DEVNULL, "stdout": printed, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(words, cwd=folder, **streams)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_maxrss * 1024, time.time()

with ThreadPoolExecutor(int(sys.argv[2])) as pool:
    json.dump(list(pool.map(ended, json.load(sys.stdin))), sys.stdout)
"""


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
    told = [[os.fspath(folder), os.fspath(TRITONGEN), *words] for folder, words in jobs]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _WATCH, str(SECONDS), str(at_once)],
        input=json.dumps(told), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [
        Watched(*end, (folder / "printed").read_text(encoding="utf-8"), folder)
        for end, (folder, _) in zip(json.loads(done.stdout), jobs, strict=True)
    ]
