"""Several servers of the same models, seen as one: their side channels, and what they add up to."""

from collections.abc import Mapping, Sequence
from typing import Any

from tritongen.errors import EnvironmentProblem
from tritongen.triton.control import Control, ServerInfo, sum_statistics
from tritongen.triton.messages import ModelMeta
from tritongen.triton.statistics import ModelStatistics

__all__ = ["ReplicaControl"]


class ReplicaControl:
    """See `tritongen.triton.control.Control`; every replica has a say."""

    def __init__(self, controls: Sequence[Control]) -> None:
        """Remember the replicas' side channels, two or more."""
        self._controls = tuple(controls)

    def server(self) -> ServerInfo:
        """Name, version and the extensions that all have.

        Raises:
            EnvironmentProblem: TG902, they are of different versions.
        """
        infos = [control.server() for control in self._controls]
        versions = {f"{info.name} {info.version}" for info in infos}
        if len(versions) > 1:
            raise EnvironmentProblem("TG902", f"different servers: {', '.join(sorted(versions))}")
        common = set.intersection(*(set(info.extensions) for info in infos))
        return ServerInfo(infos[0].name, infos[0].version, tuple(sorted(common)))

    def ready_models(self) -> list[str]:
        """Names of the models that are ready everywhere, sorted."""
        ready = [set(control.ready_models()) for control in self._controls]
        return sorted(set.intersection(*ready))

    def reason(self, model: str) -> str:
        """What one of them says of a model that is not ready; empty when nothing."""
        return next(filter(None, (control.reason(model) for control in self._controls)), "")

    def is_ready(self, model: str, version: str = "") -> bool:
        """Whether the model can be asked everywhere."""
        return all(control.is_ready(model, version) for control in self._controls)

    def metadata(self, model: str, version: str = "") -> ModelMeta:
        """Inputs and outputs.

        Raises:
            EnvironmentProblem: TG903, one has no such model; TG902, they differ.
        """
        found = [control.metadata(model, version) for control in self._controls]
        if any(meta != found[0] for meta in found[1:]):
            raise EnvironmentProblem("TG902", f"the servers' models {model!r} differ")
        return found[0]

    def config(self, model: str, version: str = "") -> Mapping[str, Any]:
        """The configuration in force, with the instance groups of all."""
        found = [control.config(model, version) for control in self._controls]
        groups = [group for config in found for group in config.get("instance_group") or ()]
        return {**found[0], "instance_group": groups}

    def statistics(self, model: str, version: str = "") -> ModelStatistics:
        """Sums over all."""
        total = ModelStatistics()
        for control in self._controls:
            total = sum_statistics(total, control.statistics(model, version))
        return total

    def load(self, model: str, config: Mapping[str, Any] | None = None) -> None:
        """Load or reload a model everywhere."""
        for control in self._controls:
            control.load(model, config)

    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        """Let every server use a region, which must be on this machine."""
        for control in self._controls:
            control.register_shared_memory(name, key, size)

    def unregister_shared_memory(self, name: str) -> None:
        """Let every server forget a region."""
        for control in self._controls:
            control.unregister_shared_memory(name)

    def close(self) -> None:
        """Close every connection."""
        for control in self._controls:
            control.close()
