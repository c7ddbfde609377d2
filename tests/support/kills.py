"""The tool killed again and again at random moments of a start or a stop.

More kills by hand: ``TRITONGEN_KILLS=17 pytest tests/system/test_*_kills.py`` makes 51 starts
and as many stops of each runtime.
"""

import os
import random
import re
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from support.docker import Project
from support.serving_models import config_text, identity
from support.triton import write_model

# Projects that are at work at once, and kills in each.
PROJECTS = 3
KILLS = int(os.environ.get("TRITONGEN_KILLS", "3"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# A start takes about two seconds, a stop about four: some kills come before, some after.
LONGEST_S = 4.0
BEGUN = re.compile(r'tritongen/cli/main\.py", line \d+, in (main|_run)\b')


@dataclass(frozen=True)
class Left:
    """A server that is there after a kill."""

    server: str
    running: bool
    owned: bool


@dataclass(frozen=True)
class Subject:
    """A project whose tool is killed.

    Attributes:
        project: with a repository of one model.
        start: the command that starts its server.
        left: its servers and what is left of them.
    """

    project: Project
    start: tuple[str, ...]
    left: Callable[[], list[Left]]


def new_project(folder: Path, image: str = "") -> Project:
    """A project with one model."""
    write_model(folder / "model_repository", "good", config_text(), {"1/model.onnx": identity()})
    return Project(folder, image)


def kill_all_often(subjects: list[Subject]) -> None:
    """Kills the tool of several projects at once; nothing may be left in the end."""
    with ThreadPoolExecutor(len(subjects)) as pool:
        jobs = [
            pool.submit(_kill_often, subject, random.Random(seed))
            for seed, subject in enumerate(subjects)
        ]
        for job in jobs:
            job.result()


def _kill_often(subject: Subject, chance: random.Random) -> None:
    project = subject.project
    for _ in range(KILLS):
        number = chance.choice(SIGNALS)
        _kill_after(project.spawn(*subject.start), chance.uniform(0.0, LONGEST_S), number)
        if _only_what_the_state_names(subject):
            _kill_after(project.spawn("down"), chance.uniform(0.0, LONGEST_S), number)
            _only_what_the_state_names(subject)
    project.run("down")
    assert subject.left() == []
    assert project.processes() == []


def _kill_after(process: subprocess.Popen[str], seconds: float, number: signal.Signals) -> None:
    """Signals the tool at that moment, unless it has ended before, and reads what it said."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, err = process.communicate(timeout=120)
    # Before the tool itself has begun, Python speaks of the interrupt in its own way.
    assert "Traceback" not in err or not BEGUN.search(err), err


def _only_what_the_state_names(subject: Subject) -> bool:
    """Nothing but a server that runs and is known may be left; whether there is one."""
    subject.project.settle()
    state = subject.project.state()
    left = subject.left()
    assert len(left) <= 1, left
    for item in left:
        assert item.running
        assert not item.owned
        assert state is not None
        assert state.server == item.server
    return bool(left)
