"""The tool killed at random moments of a start or a stop leaves no process and no memory behind."""

from pathlib import Path

from support.kills import PROJECTS, Left, Subject, kill_all_often, new_project
from support.triton import EmbeddedRuntime
from tritongen.serving import reaper
from tritongen.serving.orphans import find_servers
from tritongen.system.processes import ProcessRef, region_prefix
from tritongen.triton.server_state import project_label


def subject(folder: Path, seen: set[str]) -> Subject:
    project = new_project(folder)
    label = project_label(folder)

    def left() -> list[Left]:
        found = [item for item in find_servers() if item.label == label]
        seen.update(item.server for item in found)
        return [
            Left(item.server, any(ProcessRef.of(pid) for pid in item.pids), item.owned)
            for item in found
        ]

    return Subject(project, (*project.UP, "--runtime", "embedded"), left)


def test_random_kills_during_start_and_stop(tmp_path, embedded_runtime: EmbeddedRuntime):
    seen: set[str] = set()
    kill_all_often([subject(tmp_path / f"project{number}", seen) for number in range(PROJECTS)])
    regions = [path.name for path in reaper.SHARED_MEMORY.iterdir()]
    mine = tuple(region_prefix(server) for server in seen)
    assert [name for name in regions if mine and name.startswith(mine)] == []
