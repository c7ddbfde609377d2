"""Servers found by their processes' label, whatever became of their state files."""

from dataclasses import dataclass
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.serving import reaper
from tritongen.serving.guard import guarded
from tritongen.system.process_files import running_pids
from tritongen.system.processes import LABEL, PROJECT, SERVER, environment_of, region_prefix
from tritongen.triton.server_state import StateStore

__all__ = ["FoundServer", "end_server", "find_orphans", "find_servers"]


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server, or what is left of one.

    Attributes:
        server: the unique name of its start.
        label: its project's label.
        project: its project's folder.
        pids: its processes.
        owned: the process that started it still watches over it.
    """

    server: str
    label: str
    project: Path
    pids: tuple[int, ...]
    owned: bool = False


def find_servers() -> tuple[FoundServer, ...]:
    """Every embedded server of this user, by the variables in its processes' environment."""
    watched = set(guarded(reaper.__name__))
    found: dict[str, FoundServer] = {}
    for pid in running_pids():
        variables = environment_of(pid)
        server = variables.get(SERVER, "")
        if not server or LABEL not in variables:
            continue
        known = found.get(server)
        pids = (*(known.pids if known else ()), pid)
        project = Path(variables.get(PROJECT, "/"))
        owned = f"{SERVER}={server}" in watched
        found[server] = FoundServer(server, variables[LABEL], project, pids, owned)
    return tuple(found.values())


def find_orphans() -> tuple[FoundServer, ...]:
    """Servers that nobody owns: no starter watches them, and no state file of a project names them.

    A server of a test or of tuning has no state file while it runs, and is not an orphan.
    """
    return tuple(item for item in find_servers() if not item.owned and not _is_known(item))


def _is_known(found: FoundServer) -> bool:
    try:
        state = StateStore(found.project).read()
    except EnvironmentProblem:
        return False  # a damaged state file names nothing
    return state is not None and state.server == found.server


def end_server(found: FoundServer, grace: float = 10.0) -> None:
    """Ends every process of a found server and removes its shared memory.

    Raises:
        EnvironmentProblem: TG816 when one of them survives.
    """
    if not reaper.end(f"{SERVER}={found.server}", region_prefix(found.server), grace):
        left = ", ".join(str(pid) for pid in reaper.marked(f"{SERVER}={found.server}"))
        raise EnvironmentProblem("TG816", f"processes {left} cannot be ended")
