"""Whether code that was handed over may run, and the line that says so where it is met first."""

import argparse
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import InvalidInputError

if TYPE_CHECKING:
    from tritongen.repository.project import Project

VARIABLE = "TRITONGEN_UNTRUSTED"
_SHOWN = 3


def add_untrusted(parser: argparse.ArgumentParser) -> None:
    """`--untrusted`."""
    parser.add_argument(
        "--untrusted", action="store_true", default=os.environ.get(VARIABLE, "") not in {"", "0"},
        help="run no code of the folder: Python and Torch models are planned from what can be "
        f"read (default: {VARIABLE})",
    )  # fmt: skip


def refuse_to_serve(options: argparse.Namespace) -> None:
    """Stop a command that starts a server.

    Raises:
        InvalidInputError: TG149, no code may run.
    """
    if options.untrusted:
        raise InvalidInputError("TG149", "a server runs the code of the models that it serves")


def telling(project: "Project", progress: Callable[[str], None]) -> Callable[[str], None]:
    """The progress of trials, which first tells of code that has not been met before.

    Args:
        project: whose models are tried.
        progress: told the name of each model.
    """
    code = programs(project)

    def progressing(name: str) -> None:
        if name in code:
            tell_of_code(project.root, code)
        progress(name)

    return progressing


def programs(project: "Project") -> frozenset[str]:
    """Models that are code of whoever made them."""
    return frozenset(facts.name for facts in project.models if facts.format.is_code)


def tell_of_code(folder: Path, names: Collection[str], *, served: bool = False) -> None:
    """One line on stderr, the first time that code of a folder runs for this project.

    Args:
        folder: of the models.
        names: of the models, or of what in tritongen.yaml names code.
        served: whether it then runs in a server, too.
    """
    from tritongen.cli.output import say_error
    from tritongen.repository.project import remember_code

    if not names or not remember_code(folder):
        return
    from tritongen.system.sandbox import sandbox_gaps

    shown = ", ".join(sorted(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    gaps = sandbox_gaps()
    walls = "; ".join(gaps) if gaps else "no network, files of its own only"
    doctor = ", see `tritongen doctor`" if gaps else ""
    then = " and then in a server" if served else ""
    say_error(
        f"code of {folder} runs in a sandbox ({walls}{doctor}){then}: {shown}{more}; "
        "--untrusted forbids it"
    )
