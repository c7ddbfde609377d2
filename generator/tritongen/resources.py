"""Finds templates/ and compose/, in a wheel or in a checkout."""

from functools import cache
from pathlib import Path

from tritongen.errors import EnvironmentProblem


@cache
def resource_folder(name: str) -> Path:
    """The folder `templates` or `compose`: inside the package when installed, else the checkout's.

    Raises:
        EnvironmentProblem: TG001 when neither exists, which means a broken installation.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_data" / name, package.parent.parent / name):
        if folder.is_dir():
            return folder
    raise EnvironmentProblem(
        "TG001", f"the package's folder {name} is missing", fix="Reinstall tritongen."
    )


def template_text(name: str) -> str:
    """The text of one template, by its path below templates/.

    Raises:
        EnvironmentProblem: TG001 when it does not exist.
    """
    path = resource_folder("templates") / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError as problem:
        raise EnvironmentProblem(
            "TG001", f"the template {name} cannot be read: {problem}", fix="Reinstall tritongen."
        ) from problem
