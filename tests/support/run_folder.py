"""What every process of one run of the suite shares: a folder, and values that were computed."""

import hashlib
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_VARIABLE = "TRITONGEN_TEST_RUN_FOLDER"
T = TypeVar("T")


def make() -> None:
    """Make the folder; processes that are started from now on find it."""
    os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="tritongen-tests-")


def remove() -> None:
    """Remove the folder with all that it holds."""
    shutil.rmtree(os.environ.pop(_VARIABLE))


def computed_once(key: str, compute: Callable[[], T]) -> T:
    """A value that takes long to compute: by the first process that asks for it.

    Args:
        key: tells it from all others.
        compute: what this process does where none has finished it.
    """
    path = Path(os.environ[_VARIABLE], hashlib.sha256(key.encode()).hexdigest())
    if path.exists():
        value: T = pickle.loads(path.read_bytes())  # noqa: S301  (this run has written it)
        return value
    value = compute()
    own = path.with_suffix(f".{os.getpid()}")
    own.write_bytes(pickle.dumps(value))
    own.replace(path)
    return value
