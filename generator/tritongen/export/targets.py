"""Every target of `tritongen export`: what renders it and what its files must obey."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tritongen.domain.deployment import Deployment
from tritongen.export.compose import compose_files
from tritongen.export.texts import ExportFile

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Attributes:
        summary: what it is, for people.
        files: renders everything.
        deploy: commands that bring it up, run in the folder that was written.
    """

    summary: str
    files: Callable[[Deployment], tuple[ExportFile, ...]]
    deploy: tuple[str, ...]


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "compose": Target(
            "Docker Compose: Triton with Prometheus and Grafana on one machine",
            compose_files,
            ("docker compose up --detach --wait",),
        ),
    }
)
