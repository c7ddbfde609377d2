"""The tool killed at random moments of a start or a stop leaves nothing behind."""

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.docker import Project
from support.serving_models import config_text, identity
from support.triton import write_model

pytestmark = pytest.mark.docker

# Projects that are at work at once, and kills in each. More of them by hand:
# TRITONGEN_KILLS=17 pytest tests/integration/test_docker_kills.py
PROJECTS = 3
KILLS = int(os.environ.get("TRITONGEN_KILLS", "4"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# A start takes about two seconds, a stop about four: some kills come before, some after.
LONGEST_UP_S = 4.0
LONGEST_DOWN_S = 4.0


def new_project(folder: Path, image: str) -> Project:
    write_model(folder / "model_repository", "good", config_text(), {"1/model.onnx": identity()})
    return Project(folder, image)


def kill_after(process: subprocess.Popen[str], seconds: float, number: signal.Signals) -> None:
    """Signals the tool at that moment, unless it has ended before, and reads what it said."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert "Traceback" not in err


def test_random_kills_during_start_and_stop(tmp_path, slim_image):
    folders = [tmp_path / f"project{number}" for number in range(PROJECTS)]
    with ThreadPoolExecutor(PROJECTS) as pool:
        jobs = [
            pool.submit(kill_often, new_project(folder, slim_image), random.Random(seed))
            for seed, folder in enumerate(folders)
        ]
        for job in jobs:
            job.result()


def kill_often(project: Project, chance: random.Random) -> None:
    for _ in range(KILLS):
        number = chance.choice(SIGNALS)
        kill_after(
            project.spawn(*project.UP, "--image", project.image),
            chance.uniform(0.0, LONGEST_UP_S),
            number,
        )
        if only_what_the_state_names(project):
            kill_after(project.spawn("down"), chance.uniform(0.0, LONGEST_DOWN_S), number)
            only_what_the_state_names(project)
    project.run("down")
    assert project.containers() == []
    assert project.processes() == []


def only_what_the_state_names(project: Project) -> bool:
    """Nothing but a server that runs and is known may be left; whether there is one."""
    project.settle()
    state = project.state()
    left = project.containers()
    assert len(left) <= 1, left
    for item in left:
        assert item.running
        assert not item.owned
        assert state is not None
        assert state.server == item.server
    return bool(left)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_start_is_answered_at_once(tmp_path, slim_image, number):
    project = new_project(tmp_path, slim_image)
    process = project.spawn(*project.UP, "--image", project.image)
    while not project.containers():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "interrupted" in err
    # The tool itself has cleaned up: nothing waits for a guard.
    assert project.containers() == []
    assert project.state() is None
    project.settle()
