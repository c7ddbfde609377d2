"""The folder that the embedded Triton is started with: backends, stub and Python, made to fit.

::

    <key>/
      backends/python/        Triton's Python backend with the stub of this Python
      backends/onnxruntime/   the package's Python-based backend
      lib/                    libpython of this Python, and nothing else
      bin/python3             this Python, when its own folder has no such name

The key is a hash of everything that goes in, so that a folder is never changed once it stands.
"""

import hashlib
import os
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.model.own_backends import OWN_BACKENDS
from tritongen.serving.embedded.fetch import TritonHome
from tritongen.system.files import translated
from tritongen.system.user_cache import cache_folder

# Backends that the embedded runtime serves.
BACKENDS = tuple(sorted({"python", *OWN_BACKENDS}))

# Minor versions of Python 3 that this package and the wheel's stubs have in common.
MINORS = range(11, 14)
_BUNDLED = 13  # the wheel's stub for Python 3.13 brings a libpython as CPython itself builds it
# Modules that such a one looks for in files; Debian's Python has them in its own libpython.
_IN_FILES = frozenset({"_datetime", "_struct", "math"})
_SOURCES = Path(__file__).resolve().parent.parent / "backends"
_NUMPY2 = Path(__file__).with_name("stub_numpy2.py")
_UTILITIES = "triton_python_backend_utils.py"
_NUMPY2_HOOK = """

# Added by tritongen: this stub was compiled against numpy 1.
import stub_numpy2

stub_numpy2.main()
"""
_ABANDONED = 3600.0  # seconds; a build takes less than one
_SYSTEM_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/lib",
)


@dataclass(frozen=True, slots=True)
class TritonLayout:
    """A finished folder.

    Attributes:
        home: the unpacked Triton.
        folder: the layout's root, also the server's working folder.
        python_folder: holds the ``python3`` whose packages the backends import.
    """

    home: TritonHome
    folder: Path
    python_folder: Path

    @property
    def backends(self) -> Path:
        """Value of ``--backend-directory``."""
        return self.folder / "backends"

    @property
    def libraries(self) -> Path:
        """Folder for LD_LIBRARY_PATH, before the home's."""
        return self.folder / "lib"


def check_python() -> None:
    """Makes sure that the embedded Triton can load models with this Python.

    Raises:
        EnvironmentProblem: TG803 when the wheel has no stub for it, TG804 without its libpython.
    """
    minor = sys.version_info.minor
    if minor not in MINORS:
        raise EnvironmentProblem(
            "TG803",
            f"the embedded Triton cannot load models with Python 3.{minor}",
            fix=f"Run tritongen with Python 3.{MINORS[0]} to 3.{MINORS[-1]}, or use --runtime "
            "docker.",
        )
    whole = _IN_FILES.isdisjoint(sys.builtin_module_names)
    if find_libpython() is None and not (minor == _BUNDLED and whole):
        raise EnvironmentProblem(
            "TG804",
            f"libpython3.{minor}.so.1.0 was found neither beside {sys.executable} nor in the "
            "system's folders",
            fix=f"On Debian and Ubuntu, apt-get install libpython3.{minor}; elsewhere use a Python "
            "from uv, conda or a build with --enable-shared.",
        )


def find_libpython() -> Path | None:
    """The shared library of this Python, None when it was built or packaged without one."""
    name = f"libpython3.{sys.version_info.minor}.so.1.0"
    own = [sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib"]
    for folder in (*own, *_SYSTEM_FOLDERS):
        if folder and (path := Path(str(folder), name)).is_file():
            return path.resolve()
    return None


def build_layout(home: TritonHome, cache: Path | None = None) -> TritonLayout:
    """Builds the folder for this Python and this package, or finds it built already.

    Raises:
        EnvironmentProblem: TG803 when Triton has no stub for this Python, TG003 when its own is
            gone, TG804 when libpython is missing, TG004 or TG005 when the cache cannot be written.
    """
    check_python()
    minor = sys.version_info.minor
    stub = home.stub(minor)
    if not stub.is_file():
        raise EnvironmentProblem(
            "TG003",
            "the unpacked Triton is not whole: this file is missing",
            where=str(stub),
            fix=f"Remove {home.folder}; the next start unpacks Triton again.",
        )
    library = find_libpython()
    name = _libpython_of(stub, home)
    python = _python_folder()
    parent = cache_folder("layouts", cache)
    folder = parent / _key(home, name, library, python)
    if not folder.is_dir():
        with translated(parent):
            _build(folder, home, stub, (name, library))
    return TritonLayout(home, folder, python or folder / "bin")


def _libpython_of(stub: Path, home: TritonHome) -> str:
    """The file name of the libpython that the stub loads: the wheel's own one, if it brings one.

    That one is only for need: this Python's standard library may leave to its own libpython what
    another build keeps in files, as Debian's does with datetime.
    """
    program = stub.read_bytes()
    for path in home.libraries.glob("libpython*"):
        if path.name.encode() in program:
            return path.name
    return f"libpython3.{sys.version_info.minor}.so.1.0"


def _python_folder() -> Path | None:
    """The folder of a ``python3`` that is this very environment, None when there is none.

    The stub takes the packages of the first ``python3`` on PATH. In a virtual environment that
    name is always present; a system's ``python3`` may be another version than the one that runs.
    """
    folder = Path(sys.prefix, "bin")
    candidate = folder / "python3"
    # In a virtual environment made with copies, each name is a program of its own.
    virtual = sys.prefix != sys.base_prefix
    if candidate.exists() and (virtual or candidate.resolve() == Path(sys.executable).resolve()):
        return folder
    return None


def _sources() -> Iterator[Path]:
    yield from sorted(path for path in _SOURCES.rglob("*.py") if "__pycache__" not in path.parts)


def _key(home: TritonHome, name: str, library: Path | None, python: Path | None) -> str:
    digest = hashlib.sha256()
    for text in (str(home.folder), name, str(library), sys.executable, str(python)):
        digest.update(text.encode() + b"\0")
    digest.update(_NUMPY2.read_bytes() + _NUMPY2_HOOK.encode())
    for source in _sources():
        digest.update(str(source.relative_to(_SOURCES)).encode() + b"\0")
        digest.update(source.read_bytes() + b"\0")
    return f"py3.{sys.version_info.minor}-{digest.hexdigest()[:16]}"


def _build(folder: Path, home: TritonHome, stub: Path, libpython: tuple[str, Path | None]) -> None:
    """Builds beside and renames; when another run was faster, its folder is as good."""
    import shutil
    import tempfile

    name, library = libpython
    for leftover in folder.parent.glob(".work-*"):  # of runs that were killed
        if time.time() - leftover.stat().st_mtime > _ABANDONED:
            shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".work-") as made:
        work = Path(made, "layout")
        python_backend = work / "backends" / "python"
        shutil.copytree(home.python_backend, python_backend)
        shutil.copy(stub, python_backend)
        (python_backend / stub.name).chmod(0o755)
        shutil.copyfile(_NUMPY2, python_backend / _NUMPY2.name)
        with (python_backend / _UTILITIES).open("a", encoding="utf-8") as utilities:
            utilities.write(_NUMPY2_HOOK)
        for source in _sources():
            target = work / "backends" / source.relative_to(_SOURCES)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        (work / "lib").mkdir()
        if library is not None:
            (work / "lib" / name).symlink_to(library)
        (work / "bin").mkdir()
        (work / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
        try:
            os.rename(work, folder)  # noqa: PTH104  (a rename onto a folder must fail, not move in)
        except OSError:
            if not folder.is_dir():
                raise
