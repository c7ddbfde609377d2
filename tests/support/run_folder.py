"""What every process of one run of the suite shares: a folder, and values that were computed."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_VARIABLE = "TRITONGEN_TEST_RUN_FOLDER"


def make() -> None:
    """Make the folder; processes that are started from now on find it."""
    os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="tritongen-tests-")


def remove() -> None:
    """Remove the folder with all that it holds."""
    shutil.rmtree(os.environ.pop(_VARIABLE))


def computed_once(key: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What takes long to compute, as JSON holds it: by the first process that asks for it.

    Args:
        key: tells it from all others.
        compute: what this process does where none has finished it.
    """
    path = Path(os.environ[_VARIABLE], hashlib.sha256(key.encode()).hexdigest())
    if not path.exists():
        own = path.with_suffix(f".{os.getpid()}")
        own.write_text(json.dumps(compute()))
        own.replace(path)
    found: dict[str, Any] = json.loads(path.read_text())
    return found
