"""What a project's folder remembers on this machine, and no repository carries."""

import json
from collections.abc import Mapping
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.system.files import write_atomic
from tritongen.system.own_files import check_folder, read_own
from tritongen.triton.server_state import StateStore

STATE_FOLDER = Path(".tritongen")


def remembered(name: str) -> dict[str, str]:
    """Texts by their keys; none where nothing can be read.

    Args:
        name: of the file.
    """
    try:
        check_folder(STATE_FOLDER)
        document = json.loads(read_own(STATE_FOLDER / name))
        return {str(key): str(value) for key, value in document.items()}
    except (EnvironmentProblem, OSError, ValueError, AttributeError, RecursionError):
        return {}


def remember(name: str, entry: Mapping[str, str]) -> None:
    """Add texts to a file; a folder that cannot be written forgets them.

    Args:
        name: of the file.
        entry: texts by their keys.
    """
    known = remembered(name)
    if entry.items() <= known.items():
        return
    text = json.dumps(known | dict(entry), indent=1, sort_keys=True)
    try:
        StateStore(Path()).make_folder()
        write_atomic(STATE_FOLDER / name, text.encode(), mode=0o600)
    except EnvironmentProblem:
        return  # a convenience: what is forgotten is said or asked again
