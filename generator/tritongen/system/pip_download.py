"""Wheels that pip downloads: the user's index, proxy and certificates apply; hashes are held."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tritongen.errors import EnvironmentProblem
from tritongen.model.progress import Progress
from tritongen.system.processes import module_command, module_environment

_DAMAGED = "DO NOT MATCH THE HASHES"


@dataclass(frozen=True, slots=True)
class PinnedWheel:
    """A wheel of one version of a distribution.

    Attributes:
        title: what it holds, for people.
        distribution: its name on the index.
        version: of it.
        hashes: SHA-256 of each file that is accepted, as hexadecimal digits.
        size: bytes, 0 where they are not known.
        options: of pip, beside those that every download has.
        instead: what else helps where there is no pip.
    """

    title: str
    distribution: str
    version: str
    hashes: tuple[str, ...]
    size: int = 0
    options: tuple[str, ...] = ()
    instead: str = ""


def download_wheel(wheel: PinnedWheel, work: Path, progress: Progress) -> Path:
    """The downloaded file.

    Args:
        wheel: to download.
        work: an empty folder for it.
        progress: told of bytes.

    Raises:
        EnvironmentProblem: TG801 no download, TG802 wrong hash, TG005 the disk is full.
    """
    requirement = work / "requirements.txt"
    hashes = " ".join(f"--hash=sha256:{one}" for one in wheel.hashes)
    requirement.write_text(f"{wheel.distribution}=={wheel.version} {hashes}\n", encoding="ascii")
    into = work / "wheel"
    # The working folder stays the user's: relative paths in pip's settings count from there.
    command = module_command(
        "pip", "download", "--no-deps", "--require-hashes",
        "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar=off",
        *wheel.options, "--dest", str(into), "--requirement", str(requirement),
    )  # fmt: skip
    output = work / "pip.log"
    with output.open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**module_environment(os.environ), "TMPDIR": str(work)},
        )
        try:
            while child.poll() is None:
                done = min(_size(work), wheel.size)
                progress(f"downloading {wheel.title}", done, wheel.size)
                time.sleep(0.2)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    wheels = sorted(into.glob("*.whl"))
    if child.returncode or not wheels:
        explain_failure(wheel, output.read_text(encoding="utf-8", errors="replace"))
    return wheels[0]


def _size(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):  # pip moves its file while we look
                total += Path(place, file).stat().st_size
    return total


def explain_failure(wheel: PinnedWheel, output: str) -> NoReturn:
    """Raise what pip's output tells of a download that failed; see `download_wheel`."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    if _DAMAGED in output:
        what = f"the downloaded {wheel.title} is not the expected file"
        raise EnvironmentProblem("TG802", what, details=lines[-6:])
    if "No space left on device" in output:
        raise EnvironmentProblem("TG005", "no space left for the download", details=lines[-3:])
    if "No module named pip" in output:
        what = f"this Python has no pip to download {wheel.title} with"
        raise EnvironmentProblem(
            "TG801", what, fix=f"{sys.executable} -m ensurepip{wheel.instead}."
        )
    what = f"pip could not download {wheel.distribution} {wheel.version}"
    raise EnvironmentProblem("TG801", what, details=lines[-8:])
