"""Tells once that code of a folder runs, and behind which walls."""

import logging
from collections.abc import Callable, Collection
from pathlib import Path

from tritongen.model.progress import Progress
from tritongen.repository.project import Project, remember_code
from tritongen.system.sandbox import sandbox_gaps

Notice = Callable[[str], None]
_log = logging.getLogger(__name__)
# Names of models whose code is told of.
_MAX_NAMES = 3


def log_notice(text: str) -> None:
    """A notice for those who read the log alone."""
    _log.warning("%s", text)


def telling(project: Project, progress: Progress, notice: Notice) -> Progress:
    """The progress of trials, which first tells of code that has not been met before.

    Args:
        project: whose models are tried.
        progress: told of each model.
        notice: told of code.
    """
    code = programs(project)

    def progressing(name: str, done: int, total: int) -> None:
        if name in code and (text := code_notice(project.root, code)):
            notice(text)
        progress(f"trying {name}", done, total)

    return progressing


def programs(project: Project) -> frozenset[str]:
    """Models that are code of whoever made them."""
    return frozenset(facts.name for facts in project.models if facts.format.is_code)


def code_notice(folder: Path, names: Collection[str], *, served: bool = False) -> str:
    """One line, the first time that code of a folder runs for this project; empty later.

    Args:
        folder: of the models.
        names: of the models, or of what in tritongen.yaml names code.
        served: whether it then runs in a server, too.
    """
    if not names or not remember_code(folder):
        return ""
    shown = ", ".join(sorted(names)[:_MAX_NAMES])
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    gaps = sandbox_gaps()
    walls = "; ".join(gaps) if gaps else "no network, files of its own only"
    doctor = ", see `tritongen doctor`" if gaps else ""
    then = " and then in a server" if served else ""
    return (
        f"code of {folder} runs in a sandbox ({walls}{doctor}){then}: {shown}{more}; "
        "--untrusted forbids it"
    )
