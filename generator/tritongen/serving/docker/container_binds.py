"""Binds of a container: the repository, and the files that links in it lead to.

A link to weights outside the repository leads nowhere inside a container. Its target is mounted
read-only at the place where the link leads from /models; a link whose target would land on the
container's own folders is refused.
"""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["BadLink", "Mount", "repository_mounts"]

# Places of a container that nothing may be mounted over.
_RESERVED = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/opt/nvidia", "/opt/tritonserver",
    "/proc", "/run", "/sbin", "/sys", "/usr", "/var/run",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mount:
    """A read-only bind: `source` on the engine's machine, `target` in the container."""

    source: str
    target: str

    def option(self) -> str:
        """The value of ``docker run --mount``."""
        text = io.StringIO()
        fields = ["type=bind", f"source={self.source}", f"target={self.target}", "readonly"]
        csv.writer(text, lineterminator="").writerow(fields)
        return text.getvalue()


@dataclass(frozen=True, slots=True)
class BadLink:
    """A link that cannot be followed from inside, relative to the repository, and why."""

    path: str
    reason: str


def repository_mounts(
    repository: Path, inside: PurePosixPath
) -> tuple[tuple[Mount, ...], tuple[BadLink, ...]]:
    """The binds for a repository, and the links that no bind can mend.

    Args:
        repository: an existing folder.
        inside: where it stands in the container.
    """
    root = repository.resolve()
    mounts = {str(inside): Mount(str(root), str(inside))}
    bad = []
    for link in _links(root):
        name = link.relative_to(root).as_posix()
        target, reason = _target(link, root, inside)
        if reason:
            bad.append(BadLink(name, reason))
        elif target is not None:
            mounts.setdefault(target, Mount(str(link.resolve()), target))
    return tuple(mounts.values()), tuple(bad)


def _links(root: Path) -> Iterator[Path]:
    """Every symbolic link below the root; linked folders are not entered."""
    for place, folders, files in os.walk(root):
        for name in sorted((*folders, *files)):
            path = Path(place, name)
            if path.is_symlink():
                yield path


def _target(link: Path, root: Path, inside: PurePosixPath) -> tuple[str | None, str]:
    """Where the link leads in the container when a bind is needed there; or why none can be."""
    text = os.readlink(link)  # noqa: PTH115  (the text as it stands)
    if not link.exists():
        return None, f"leads to {text}, which does not exist"
    here = inside / link.relative_to(root).as_posix()
    leads = PurePosixPath(os.path.normpath(here.parent / text))
    if leads.is_relative_to(inside):
        return None, ""  # to a neighbour, which is there or is a link that is looked at itself
    if root.is_relative_to(link.resolve()):
        return None, f"leads to {text}, which holds the repository itself"
    if any(leads.is_relative_to(place) for place in _RESERVED):
        return None, f"would lead to the container's own {leads}"
    return str(leads), ""
