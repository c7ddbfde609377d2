"""The tool killed at random moments of a start or a stop leaves no container behind."""

import signal
import time
from pathlib import Path

import pytest

from support.kills import PROJECTS, Left, Subject, kill_all_often, new_project


def subject(folder: Path, image: str) -> Subject:
    project = new_project(folder, image)

    def left() -> list[Left]:
        return [Left(item.server, item.running, item.owned) for item in project.containers()]

    return Subject(project, (*project.UP, "--image", image), left)


def test_random_kills_during_start_and_stop(tmp_path, slim_image):
    kill_all_often([subject(tmp_path / f"project{n}", slim_image) for n in range(PROJECTS)])


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
