"""What is dear to make and only read: made by one process of a run, read by all of them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tritongen.system.files import FileLock

SECONDS = 600.0


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` has filled, for every process of this run; a test works on a copy.

    Args:
        factory: its base folder is a process's own, and that one's parent is the run's.
        name: of the folder.
        make: fills the folder, which is empty.
    """
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = root / "shared" / name, root / "shared" / f"{name}.made"
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock"), f"making {name} for tests", timeout=SECONDS):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
