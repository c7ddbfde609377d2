"""What is dear to make and only read: made once in a run, or once at all, and read by all."""

import hashlib
import inspect
import os
import shutil
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import ParamSpec

import onnx
import pytest

from tritongen.system.files import FileLock, write_atomic
from tritongen.system.user_cache import cache_folder

SECONDS = 600.0
P = ParamSpec("P")


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


def kept(train: Callable[P, onnx.ModelProto]) -> Callable[P, onnx.ModelProto]:
    """A model by what trains it: its module, its arguments and scikit-learn, kept between runs."""

    @wraps(train)
    def model(*arguments: P.args, **options: P.kwargs) -> onnx.ModelProto:
        told = (train.__name__, arguments, sorted(options.items()), version("scikit-learn"))
        source = Path(inspect.getfile(train)).read_bytes()
        key = hashlib.sha256(source + repr(told).encode()).hexdigest()
        path = cache_folder("test-models") / f"{key}.onnx"
        if not path.exists():
            write_atomic(path, train(*arguments, **options).SerializeToString())
        return onnx.load(path)

    return model
