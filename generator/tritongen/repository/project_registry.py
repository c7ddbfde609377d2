"""What the project's folder remembers locally: folders of models, and whose code has run."""

import json
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.system.files import write_atomic
from tritongen.system.own_files import check_folder, read_own
from tritongen.triton.server_state import StateStore

STATE_FOLDER = Path(".tritongen")


def remember_models(repository: Path, models: Path) -> None:
    """Note the models folder of a repository; a folder that cannot be written forgets it."""
    path = STATE_FOLDER / "projects.json"
    known = _read(path)
    entry = {str(repository.resolve()): str(models.resolve())}
    if entry.items() <= known.items():
        return
    _write(path, known | entry)


def _write(path: Path, document: dict[str, str]) -> None:
    text = json.dumps(document, indent=1, sort_keys=True)
    try:
        StateStore(Path()).make_folder()
        write_atomic(path, text.encode(), mode=0o600)
    except EnvironmentProblem:
        return  # a convenience: what is forgotten is said or asked again


def last_models(repository: Path) -> Path:
    """The models folder that the repository was last built from, else ``models``.

    Raises:
        InvalidInputError: TG002 when neither is known.
    """
    known = _read(STATE_FOLDER / "projects.json").get(str(repository.resolve()))
    for candidate in (known, "models"):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    raise InvalidInputError(
        "TG002",
        f"the models folder of {repository} is not known here",
        fix="Name it with --models.",
    )


def remember_code(folder: Path) -> bool:
    """Whether code of a folder runs here for the first time; it is no longer the first then."""
    path = STATE_FOLDER / "code.json"
    known = _read(path)
    name = str(folder.resolve())
    if name in known:
        return False
    _write(path, known | {name: "told"})
    return True


def _read(path: Path) -> dict[str, str]:
    try:
        check_folder(STATE_FOLDER)
        document = json.loads(read_own(path))
        return {str(key): str(value) for key, value in document.items()}
    except (EnvironmentProblem, OSError, ValueError, AttributeError, RecursionError):
        return {}
