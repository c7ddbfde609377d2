"""Finds templates/ and compose/, in a wheel or in a checkout."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem

if TYPE_CHECKING:
    from jinja2 import Template


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


@cache
def plain_template(name: str) -> "Template":
    """A template of protobuf text, YAML or Python; whoever fills it in makes its values safe.

    Args:
        name: path below templates/.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701  (not HTML)
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["repr"] = repr
    return environment.from_string(template_text(name))
