"""The ONNX Runtime of the target's release: fetched once, for child processes alone.

What one version loads another may refuse, and both may disagree on shapes. The installed version
stands in where it is the target's, where the user wants it, and where the other cannot be had.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.model.progress import Progress, silent
from tritongen.system.files import FileLock, translated
from tritongen.system.pip_download import PinnedWheel, download_wheel
from tritongen.system.processes import module_environment
from tritongen.system.user_cache import cache_folder

# `installed` has the installed version run everything, and nothing fetched.
VARIABLE = "TRITONGEN_ONNXRUNTIME"
# version, Python, machine, SHA-256; written by scripts/onnxruntime_wheels.py.
TABLE = Path(__file__).with_name("onnxruntime_wheels.tsv")
NAME = "onnxruntime"
# Measured: wheels before it import with numpy 1 alone.
_NUMPY_2_SINCE = (1, 19)
_PARTS = (f"{NAME}/__init__.py", f"{NAME}/capi/", f"{NAME}/LICENSE", f"{NAME}/ThirdParty")
# Without a network a build is not to wait as long as a download may take.
_PIP_OPTIONS = ("--retries", "1", "--timeout", "15")
_FETCH_TIMEOUT_S, _CHECK_TIMEOUT_S = 900, 60
_CHECK = (
    "import sys; sys.path.insert(0, sys.argv[1]); import onnxruntime as o; print(o.__version__)"
)


@dataclass(frozen=True, slots=True)
class TargetLibrary:
    """Where a child process takes ONNX Runtime from.

    Attributes:
        folder: that goes first on its path; empty for what is installed.
        reason: why what is installed stands in for the target's, empty where it need not.
    """

    folder: str = ""
    reason: str = ""


def target_library(version: str, progress: Progress = silent) -> TargetLibrary:
    """The ONNX Runtime of a release; it is fetched where the cache has none.

    Two runs at once fetch it once: the second waits for the first. Nothing that goes wrong stops
    what it was wanted for.

    Args:
        version: of ONNX Runtime; empty for the installed one.
        progress: told of the download.
    """
    installed = _version_of(NAME)
    # Without the package every trial ends with TG006; a build of another name has its own devices.
    if not version or installed in {"", version}:
        return TargetLibrary()
    if os.environ.get(VARIABLE) == "installed":
        return TargetLibrary(reason=f"{VARIABLE} asks for it")
    if version not in _fetched:
        _fetched[version] = _fetch(version, progress)
    return _fetched[version]


# What failed is not tried again in this process.
_fetched: dict[str, TargetLibrary] = {}


def _fetch(version: str, progress: Progress) -> TargetLibrary:
    try:
        return TargetLibrary(str(_ensure(_wheel(version), progress)))
    except EnvironmentProblem as problem:
        details = [line.removeprefix("ERROR: ") for line in problem.details[-1:]]
        return TargetLibrary(reason=": ".join((problem.what, *details)))


def _version_of(distribution: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _wheel(version: str) -> PinnedWheel:
    """The wheels of a version for this Python.

    Raises:
        EnvironmentProblem: TG803, there is none, or it would not run.
    """
    numbers = tuple(int(part) for part in version.split("."))
    if numbers < _NUMPY_2_SINCE and not _version_of("numpy").startswith("1."):
        raise EnvironmentProblem("TG803", f"{version} runs with numpy 1 only")
    python, machine = sys.version_info, platform.machine()
    rows = (line.split("\t") for line in TABLE.read_text("ascii").splitlines())
    wanted = [version, f"{python.major}{python.minor}", machine]
    hashes = tuple(sha for *key, sha in rows if key == wanted)
    if not hashes:
        what = f"there is no {version} for Python {python.major}.{python.minor} on {machine}"
        raise EnvironmentProblem("TG803", what)
    return PinnedWheel(f"ONNX Runtime {version}", NAME, version, hashes, options=_PIP_OPTIONS)


def _ensure(wheel: PinnedWheel, progress: Progress) -> Path:
    parent = cache_folder(NAME)
    folder = parent / f"{wheel.version}-{wheel.hashes[0][:12]}"
    if folder.is_dir():
        return folder
    with FileLock(
        parent / "lock",
        f"fetching {wheel.title}",
        timeout=_FETCH_TIMEOUT_S,
        on_wait=lambda: progress("waiting for another download", 0, 0),
    ):
        if not folder.is_dir():
            with translated(parent), _work(parent) as work:
                _unpack(wheel, download_wheel(wheel, work, progress), work / "home")
                _check(wheel, work / "home")
                (work / "home").rename(folder)
    progress("", 0, 0)  # the line is for others now
    return folder


@contextmanager
def _work(parent: Path) -> Iterator[Path]:
    """A folder that is gone at the end; so are those of runs that were killed."""
    import shutil
    import tempfile

    for leftover in parent.glob(".work-*"):  # the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".work-") as name:
        yield Path(name)


def _unpack(wheel: PinnedWheel, file: Path, target: Path) -> None:
    """Unpacks what running models needs. The hash was held, so the names are known to be sound."""
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(file) as archive:
            for member in archive.namelist():
                if member.startswith(_PARTS):
                    archive.extract(member, target)
    except BadZipFile as error:
        raise EnvironmentProblem("TG802", f"the wheel of {wheel.title} is damaged") from error


def _check(wheel: PinnedWheel, folder: Path) -> None:
    """Import it once, in a process of its own.

    Raises:
        EnvironmentProblem: TG803, it cannot be imported here, or is another version.
    """
    what = f"{wheel.version} cannot be imported here"
    try:
        ran = subprocess.run(
            [sys.executable, "-P", "-c", _CHECK, str(folder)],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=_CHECK_TIMEOUT_S,
            check=False,
            env=module_environment(os.environ),
        )
    except subprocess.TimeoutExpired as late:
        raise EnvironmentProblem("TG803", f"{what} within {_CHECK_TIMEOUT_S} s") from late
    if ran.stdout.strip() != wheel.version:
        last = (ran.stderr.strip() or ran.stdout).splitlines()[-1:]
        raise EnvironmentProblem("TG803", ": ".join((what, *last)))
