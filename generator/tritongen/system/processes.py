"""Processes: how this tool starts those of its own, and how each is told from a later one."""

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tritongen.system.process_files import environment_entries, stat_fields

# Variables by which a server's processes are found again: the project's label and folder, and the
# unique name of the start.
LABEL = "TRITONGEN_LABEL"
PROJECT = "TRITONGEN_PROJECT"
SERVER = "TRITONGEN_SERVER"


def region_prefix(server: str) -> str:
    """How the names of a server's shared memory regions begin."""
    return f"tritongen_{server}_"


def boot_id() -> str:
    """The kernel's name of the present boot; process numbers mean nothing on another one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def environment_of(pid: int) -> dict[str, str]:
    """The environment a process was started with; empty when it ended or is not readable."""
    entries = (
        entry.decode("utf-8", "replace").partition("=") for entry in environment_entries(pid)
    )
    return {name: value for name, separator, value in entries if separator}


def prefer_for_oom_kill(pid: int | None = None) -> None:
    """Offer a process, and those that it starts from now on, first when memory runs out.

    Of several that are offered, the kernel ends the largest. Where the kernel cannot be asked, it
    chooses by size alone.

    Args:
        pid: the process; this one when None.
    """
    with suppress(OSError):
        Path(f"/proc/{pid or 'self'}/oom_score_adj").write_text("1000", encoding="ascii")


def _start_ticks(pid: int) -> int | None:
    """Clock ticks from boot to the process's start; None when it ended or is a zombie."""
    fields = stat_fields(pid)
    return None if not fields or fields[0] in {"Z", "X"} else int(fields[19])


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process: its number, and its start time that makes the number unique on this boot."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> "ProcessRef | None":
        """The running process with this number, None when there is none."""
        ticks = _start_ticks(pid)
        return None if ticks is None else cls(pid, ticks)

    def alive(self) -> bool:
        """Whether that very process still runs; a zombie does not."""
        return _start_ticks(self.pid) == self.start_ticks

    def wait(self, timeout: float) -> bool:
        """Waits up to `timeout` seconds for its end; whether it came."""
        deadline = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True


def module_command(module: str, *arguments: str) -> list[str]:
    """This interpreter, with a module as its program and without the current folder.

    ``python -m`` puts that folder first on the path, and it may be a stranger's: a `pip/` or a
    `numpy.py` in a folder of models would run with everything that the user may do.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment(own: Mapping[str, str], *folders: Path) -> dict[str, str]:
    """Variables for a module's program.

    Args:
        own: variables of this process. Paths of PYTHONPATH are made absolute; an empty one, which
            stands for the current folder and is mostly a slip, is left out.
        folders: to import from, after those.
    """
    given = filter(None, own.get("PYTHONPATH", "").split(os.pathsep))
    paths = [*(str(Path.cwd() / item) for item in given), *map(str, folders)]
    rest = {name: value for name, value in own.items() if name != "PYTHONPATH"}
    return {**rest, "PYTHONPATH": os.pathsep.join(paths)} if paths else rest
