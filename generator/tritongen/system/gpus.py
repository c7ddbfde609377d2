"""GPUs of this machine, as NVIDIA's driver tells them."""

import shutil
import subprocess
from dataclasses import dataclass

_QUERY = "--query-gpu=name,memory.total,memory.free"
# It answers within a second; a driver that hangs is none to wait for.
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class InstalledGpu:
    """One GPU.

    Attributes:
        name: as the driver spells it.
        memory_bytes: of it.
        free_bytes: that no process has taken.
    """

    name: str
    memory_bytes: int
    free_bytes: int


def installed_gpus() -> tuple[InstalledGpu, ...]:
    """In the driver's order; none where `nvidia-smi` is missing or does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        answer = subprocess.run(
            [tool, _QUERY, "--format=csv,noheader,nounits"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ()
    return parse_gpus(answer.stdout)


def parse_gpus(text: str) -> tuple[InstalledGpu, ...]:
    """The GPUs of such an answer; a line without numbers, as MIG has them, is left out."""
    found = []
    for line in text.splitlines():
        name, *sizes = (part.strip() for part in line.rsplit(",", 2))
        if len(sizes) == 2 and all(size.isdecimal() for size in sizes):
            found.append(InstalledGpu(name, int(sizes[0]) * 2**20, int(sizes[1]) * 2**20))
    return tuple(found)
