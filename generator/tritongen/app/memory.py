"""What the project's folder remembers locally: where the models of a repository lie."""

import json
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.serving.files import write_atomic

STATE_FOLDER = Path(".tritongen")


def remember_models(repository: Path, models: Path) -> None:
    """Note the models folder of a repository; a folder that cannot be written forgets it."""
    path = STATE_FOLDER / "projects.json"
    known = _read(path)
    entry = {str(repository.resolve()): str(models.resolve())}
    if entry.items() <= known.items():
        return
    try:
        state_folder()
        write_atomic(path, json.dumps(known | entry, indent=1, sort_keys=True).encode())
    except (EnvironmentProblem, OSError):
        return  # a convenience: `--models` says it again


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


def state_folder() -> Path:
    """The project's state folder, which git ignores by itself."""
    STATE_FOLDER.mkdir(exist_ok=True)
    ignore = STATE_FOLDER / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")
    return STATE_FOLDER


def _read(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in document.items()}
