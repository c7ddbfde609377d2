"""Servers found by the marks of their processes, whatever became of their state files."""

from dataclasses import dataclass
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.serving import reaper
from tritongen.serving.reaper import guarded
from tritongen.system.process_files import running_pids
from tritongen.system.processes import LABEL, PROJECT, SERVER, environment_of, region_prefix
from tritongen.triton.server_state import StateStore


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server, or what is left of one: processes, or a container.

    Attributes:
        server: the unique name of its start.
        label: its project's label.
        project: its project's folder.
        owned: the process that started it still watches over it.
        pids: its processes.
        container: its container's id; empty for processes.
        running: whether it serves, or has ended.
    """

    server: str
    label: str
    project: Path
    owned: bool
    pids: tuple[int, ...] = ()
    container: str = ""
    running: bool = True

    @property
    def orphaned(self) -> bool:
        """Whether nobody owns it: no starter watches over it, and no state file names it.

        A server of a test or of tuning has no state file while it runs, and is not orphaned. One
        that has ended is of no use to anybody.
        """
        return not self.owned and not (self.running and self._is_known())

    def _is_known(self) -> bool:
        try:
            state = StateStore(self.project).read()
        except EnvironmentProblem:
            return False  # a damaged state file names nothing
        return state is not None and state.server == self.server


def find_servers() -> tuple[FoundServer, ...]:
    """Every embedded server of this user, by the variables in its processes' environment."""
    processes: dict[str, list[int]] = {}
    places: dict[str, tuple[str, Path]] = {}
    for pid in running_pids():
        variables = environment_of(pid)
        server = variables.get(SERVER, "")
        if server and LABEL in variables:
            processes.setdefault(server, []).append(pid)
            places[server] = variables[LABEL], Path(variables.get(PROJECT, "/"))
    watched = set(guarded(reaper.__name__)) if processes else set()
    return tuple(
        FoundServer(server, *places[server], f"{SERVER}={server}" in watched, tuple(pids))
        for server, pids in processes.items()
    )


def end_server(found: FoundServer, grace_s: float = 10.0) -> None:
    """Ends every process of a found server and removes its shared memory.

    Raises:
        EnvironmentProblem: TG816 when one of them survives.
    """
    if not reaper.end(f"{SERVER}={found.server}", region_prefix(found.server), grace_s):
        left = ", ".join(str(pid) for pid in reaper.marked(f"{SERVER}={found.server}"))
        raise EnvironmentProblem("TG816", f"processes {left} cannot be ended")
