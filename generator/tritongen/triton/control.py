"""What the probe asks the servers that it measures besides load: one server, or several replicas.

Every replica has a say: what is ready is ready everywhere, what differs is a fault, and counters
are added up.
"""

import socket
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, TypeVar

from tritongen.errors import CODES, EnvironmentProblem
from tritongen.model.client_protocol import ClientProtocol
from tritongen.triton.address import Endpoint
from tritongen.triton.client import IndexEntry, ServerInfo
from tritongen.triton.connect import ServerClient, client_for
from tritongen.triton.messages import ModelMeta
from tritongen.triton.statistics import ModelStatistics, model_statistics

# What helps where the list of models is restricted.
_NAME_MODELS = "Name the models with -m, or probe from the folder of the project that serves them."
_MAX_SHOWN_CHARACTERS = 500  # Chosen: some lines of a terminal.
# Chosen: a large model takes minutes to load, and Triton answers when it has.
_LOAD_S = 300.0

# Certificates, keys and limits are not the probe's, whoever asks.
_SAME = frozenset({"TG834", "TG861", "TG862"})

Found = TypeVar("Found")


class ServerControl:
    """One server, or several of the same models, seen as one.

    Every method may raise EnvironmentProblem: TG901 when nobody answers, TG902 when what answers is
    no Triton or refuses, TG834, TG861 and TG862 as `ClientBase` does.
    """

    def __init__(self, *endpoints: Endpoint, timeout_s: float = 10.0) -> None:
        """Remember the servers; nothing is sent yet, but for a certificate to trust unverified.

        Raises:
            EnvironmentProblem: TG006, TG834, TG814, see `GrpcClient.connect`.
        """
        self._servers = [(endpoint, client_for(endpoint, timeout_s)) for endpoint in endpoints]
        for _, client in self._servers:
            client.connect()

    def server(self) -> ServerInfo:
        """Name, version and the extensions that all have.

        Raises:
            EnvironmentProblem: TG902, they are of different versions.
        """
        infos = self._ask(lambda client: client.metadata())
        versions = {f"{info.name} {info.version}" for info in infos}
        if len(versions) > 1:
            raise EnvironmentProblem("TG902", f"different servers: {', '.join(sorted(versions))}")
        common = set.intersection(*(set(info.extensions) for info in infos))
        return ServerInfo(infos[0].name, infos[0].version, tuple(sorted(common)))

    def ready_models(self) -> list[str]:
        """Names of the models that are ready everywhere, sorted."""
        ready = (
            {entry.name for entry in index if entry.state == "READY"} for index in self._indices()
        )
        return sorted(set.intersection(*ready))

    def reason(self, model: str) -> str:
        """What the first server's repository index says of a model that is not ready."""
        found = [entry for entry in self._indices()[0] if entry.name == model]
        if not found:
            return "the server's repository has no model of that name"
        return "; ".join(f"{one.state or 'not loaded'} {one.reason}".strip() for one in found)

    def _indices(self) -> list[tuple[IndexEntry, ...]]:
        try:
            return self._ask(lambda client: client.index())
        except EnvironmentProblem as problem:
            if problem.code != "TG902":
                raise
            what = f"the server does not list its models: {problem.what}"
            raise EnvironmentProblem("TG902", what, where=problem.where, fix=_NAME_MODELS) from None

    def is_ready(self, model: str, version: str = "") -> bool:
        """Whether the model can be asked everywhere."""
        return all(self._ask(lambda client: client.model_ready(model, version)))

    def metadata(self, model: str, version: str = "") -> ModelMeta:
        """Inputs and outputs.

        Raises:
            EnvironmentProblem: TG903, one has no such model; TG902, they differ.
        """
        found = self._ask(lambda client: client.model_metadata(model, version), "TG903", model)
        if any(meta != found[0] for meta in found[1:]):
            raise EnvironmentProblem("TG902", f"the servers' models {model!r} differ")
        return found[0]

    def config(self, model: str, version: str = "") -> Mapping[str, Any]:
        """The configuration in force, as JSON, with the instance groups of all.

        Raises:
            EnvironmentProblem: TG903, one has no such model.
        """
        found = self._ask(lambda client: client.model_config(model, version), "TG903", model)
        if len(found) == 1:
            return found[0]
        groups = [group for config in found for group in config.get("instance_group") or ()]
        return {**found[0], "instance_group": groups}

    def statistics(self, model: str, version: str = "") -> ModelStatistics:
        """Sums since the model was loaded, over the versions asked for."""
        found = self._ask(
            lambda client: model_statistics(client.statistics(model, version)), where=model
        )
        return reduce(ModelStatistics.plus, found)

    def load(self, model: str, config: Mapping[str, Any] | None = None) -> None:
        """Load or reload a model everywhere, with another configuration where one is given.

        Raises:
            EnvironmentProblem: TG913, a server allows no loading, or refuses this.
        """
        self._ask(lambda client: client.load(model, config, _LOAD_S), "TG913", model)

    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        """Let every server use a system shared memory region, which must be on this machine.

        Raises:
            EnvironmentProblem: TG909, one does not.
        """
        self._ask(lambda client: client.register_shared_memory(name, key, size), "TG909")

    def unregister_shared_memory(self, name: str) -> None:
        """Let every server forget a region."""
        self._ask(lambda client: client.unregister_shared_memory(name), "TG909")

    def close(self) -> None:
        """Close every connection."""
        for _, client in self._servers:
            client.close()

    def _ask(
        self, ask: Callable[[ServerClient], Found], refusal: str = "TG902", where: str = ""
    ) -> list[Found]:
        """What each server answers.

        Args:
            ask: one of them.
            refusal: code where a server refuses.
            where: of a refusal; the server's address when empty.
        """
        found = []
        for endpoint, client in self._servers:
            try:
                found.append(ask(client))
            except EnvironmentProblem as problem:
                raise _in_the_probe(problem, endpoint, refusal, where) from None
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                what = "its answer has an unknown form"
                raise EnvironmentProblem("TG902", what, where=endpoint.address) from None
        return found


def _in_the_probe(
    problem: EnvironmentProblem, endpoint: Endpoint, refusal: str, where: str
) -> EnvironmentProblem:
    """A client's error as one of the probe's."""
    what = " ".join(problem.what.split())[:_MAX_SHOWN_CHARACTERS]
    code, place = "TG901", endpoint.address
    fix = problem.fix if problem.fix != CODES[problem.code].fix else ""
    if problem.code in _SAME:
        code = problem.code
    elif problem.code == "TG815":
        code, place = refusal, where or place
    elif problem.code == "TG839":
        code = "TG902"
    elif endpoint.protocol is ClientProtocol.GRPC and _listens(endpoint):
        code, what = "TG902", f"something listens there and does not speak gRPC: {what}"
    return EnvironmentProblem(code, what, where=place, fix=fix)


def _listens(endpoint: Endpoint) -> bool:
    """Whether the port takes connections at all."""
    try:
        socket.create_connection((endpoint.host, endpoint.port), 10.0).close()
    except OSError:
        return False
    return True
