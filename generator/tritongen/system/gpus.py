"""NVIDIA's GPUs of this machine: cards, driver and MIG, by the kernel and `nvidia-smi`."""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")
_VENDOR, _DISPLAY = "0x10de", "0x03"
_QUERY = "index,name,driver_version,memory.total,mig.mode.current"
_MEMORY = "name,memory.total,memory.free"
# Of the tool's answer; it waits for the driver to wake the cards.
_TIMEOUT_S = 20.0
_CUDA = re.compile(r"CUDA Version: *(\d+\.\d+)")
_KERNEL = re.compile(r"Kernel Module(?: for \S+)? +(\d+\.\d+(?:\.\d+)?)")
_SLICE = re.compile(r"^\s*MIG (\S+)\s+Device\s+\d+:", re.MULTILINE)

# A command's words to its exit status and output; None where there is no such program.
Ask = Callable[[Sequence[str]], tuple[int, str] | None]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card as its driver sees it; `mig` is None where it has no such mode."""

    index: int
    name: str
    memory_mib: int
    mig: bool | None = None


@dataclass(frozen=True, slots=True)
class CardMemory:
    """Memory of one card.

    Attributes:
        name: as the driver spells it.
        total_bytes: of it.
        free_bytes: that no process has taken.
    """

    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What is known of this machine's GPUs.

    Attributes:
        cards: of NVIDIA on the bus, seen without a driver.
        nodes: devices that a loaded driver has made.
        driver: its version, empty where none is loaded.
        cuda: newest CUDA that it serves, empty where nothing says so.
        gpus: that the driver sees.
        slices: profiles of MIG instances, such as ``3g.20gb``.
        toolkit: whether the container toolkit's `nvidia-ctk` is installed.
        error: what `nvidia-smi` says where it fails, empty where it does not or is missing.
    """

    cards: int = 0
    nodes: int = 0
    driver: str = ""
    cuda: str = ""
    gpus: tuple[Gpu, ...] = ()
    slices: tuple[str, ...] = ()
    toolkit: bool = False
    error: str = ""


def gpu_nodes(root: Path = _ROOT) -> int:
    """Devices that a loaded driver has made."""
    return sum(1 for _ in (root / "dev").glob("nvidia[0-9]*"))


def read_gpus(root: Path = _ROOT, ask: Ask | None = None) -> GpuReading:
    """Read what the kernel says, and what `nvidia-smi` does where it is installed.

    Args:
        root: where `sys`, `dev` and `proc` lie; another folder in tests.
        ask: runs a program; this machine's when None.
    """
    ask = ask or _ask
    nodes = gpu_nodes(root)
    known = GpuReading(_cards(root), nodes, toolkit=shutil.which("nvidia-ctk") is not None)
    driver = _loaded_driver(root)
    told = ask(("nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"))
    if told is None:
        return GpuReading(known.cards, nodes, driver, toolkit=known.toolkit)
    status, text = told
    if status:
        words = " ".join(text.split())
        return GpuReading(known.cards, nodes, driver, toolkit=known.toolkit, error=words)
    gpus, version = parse_query(text)
    header, listed = ask(("nvidia-smi",)), ask(("nvidia-smi", "-L"))
    cuda = _CUDA.search(header[1]) if header is not None else None
    return GpuReading(
        known.cards,
        nodes,
        version or driver,
        cuda[1] if cuda is not None else "",
        gpus,
        tuple(_SLICE.findall(listed[1])) if listed is not None else (),
        known.toolkit,
    )


def parse_query(text: str) -> tuple[tuple[Gpu, ...], str]:
    """The cards of a query's lines, and the driver's version; other lines are left out."""
    gpus: list[Gpu] = []
    driver = ""
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != 5 or not parts[0].isdecimal():
            continue
        driver = parts[2]
        memory = int(parts[3]) if parts[3].isdecimal() else 0
        mig = {"Enabled": True, "Disabled": False}.get(parts[4])
        gpus.append(Gpu(int(parts[0]), parts[1], memory, mig))
    return tuple(gpus), driver


def card_memory(ask: Ask | None = None) -> tuple[CardMemory, ...]:
    """Memory of each card, in the driver's order; none where `nvidia-smi` does not tell it."""
    told = (ask or _ask)(("nvidia-smi", f"--query-gpu={_MEMORY}", "--format=csv,noheader,nounits"))
    found = []
    for line in told[1].splitlines() if told is not None and not told[0] else ():
        name, *sizes = (part.strip() for part in line.rsplit(",", 2))
        if len(sizes) == 2 and all(size.isdecimal() for size in sizes):
            found.append(CardMemory(name, int(sizes[0]) * 2**20, int(sizes[1]) * 2**20))
    return tuple(found)


def _cards(root: Path) -> int:
    """NVIDIA's display and compute devices on the PCI bus."""
    count = 0
    for device in (root / "sys/bus/pci/devices").glob("*"):
        with suppress(OSError):
            vendor = (device / "vendor").read_text(encoding="ascii").strip()
            kind = (device / "class").read_text(encoding="ascii").strip()
            count += vendor == _VENDOR and kind.startswith(_DISPLAY)
    return count


def _loaded_driver(root: Path) -> str:
    with suppress(OSError):
        text = (root / "proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        if match := _KERNEL.search(text):
            return match[1]
    return ""


def _ask(words: Sequence[str]) -> tuple[int, str] | None:
    program = shutil.which(words[0])
    if program is None:
        return None
    try:
        answer = subprocess.run(
            (program, *words[1:]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return 1, str(problem)
    return answer.returncode, answer.stdout.decode("utf-8", "replace")
