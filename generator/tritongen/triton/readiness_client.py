"""What is asked of a server that starts, by a client that is loaded in a moment."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from tritongen.errors import EnvironmentProblem
from tritongen.triton.foreign_answer import AnswerBounds, ForeignAnswerError, read_json
from tritongen.triton.plain_http import answer, question

__all__ = ["IndexEntry", "PlainClient", "ReadinessClient", "index_entries"]

_OK = 200


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One line of the server's repository index.

    Attributes:
        name: the model.
        version: of the model; empty when none was loaded.
        state: READY, UNAVAILABLE, LOADING, UNLOADING, or empty for a model that was never tried.
        reason: why it is unavailable.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


class ReadinessClient(Protocol):
    """The part of `ServerClient` that tells whether models serve."""

    def live(self) -> bool:
        """Whether the server answers."""
        ...

    def model_ready(self, name: str) -> bool:
        """Whether this model answers requests."""
        ...

    def index(self) -> tuple[IndexEntry, ...]:
        """Every model of the repository with its state."""
        ...


class PlainClient:
    """A `ReadinessClient` over plain HTTP, one connection a question.

    Args:
        address: ``host:port`` of the server, IPv6 hosts in brackets.
        timeout: seconds for each answer.
        headers: sent with every question, such as those of restricted APIs.
    """

    def __init__(
        self, address: str, timeout: float, headers: Mapping[str, str] | None = None
    ) -> None:
        self._address = address
        host, _, port = address.rpartition(":")
        self._place = (host.strip("[]"), int(port))
        self._timeout = timeout
        self._headers = headers or {}

    def live(self) -> bool:
        """Whether the server answers; a server that cannot be reached is not live."""
        try:
            return self._ask("GET", "/v2/health/live")[0] == _OK
        except OSError:
            return False

    def model_ready(self, name: str) -> bool:
        """Whether this model answers requests.

        Raises:
            EnvironmentProblem: TG814, the server does not answer.
        """
        try:
            return self._ask("GET", f"/v2/models/{quote(name, safe='')}/ready")[0] == _OK
        except OSError as error:
            raise self._unreachable(error) from error

    def index(self) -> tuple[IndexEntry, ...]:
        """Every model of the repository with its state.

        Raises:
            EnvironmentProblem: TG814, the server does not answer; TG815, it refuses.
        """
        try:
            status, content = self._ask("POST", "/v2/repository/index", b"{}")
            entries = index_entries(content) if status == _OK else ()
        except OSError as error:  # half an answer is none
            raise self._unreachable(error) from error
        if status != _OK:
            reason = content.decode("utf-8", "replace").strip() or "no reason given"
            raise EnvironmentProblem("TG815", reason, where=self._address)
        return entries

    def _ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        bounds = AnswerBounds(self._timeout)
        with socket.create_connection(self._place, self._timeout) as connection:
            connection.sendall(question(method, path, self._address, body, self._headers))
            return answer(connection, bounds)

    def _unreachable(self, error: OSError) -> EnvironmentProblem:
        reason = (error.strerror or str(error)).lower()
        return EnvironmentProblem(
            "TG814", f"server cannot be reached: {reason}", where=self._address
        )


def index_entries(content: bytes | bytearray) -> tuple[IndexEntry, ...]:
    """The server's answer about its repository.

    Raises:
        ForeignAnswerError: it has another form.
    """
    found = read_json(content)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ForeignAnswerError("its list of models has an unknown form")
    return tuple(
        IndexEntry(*(str(entry.get(key, "")) for key in ("name", "version", "state", "reason")))
        for entry in found
    )
