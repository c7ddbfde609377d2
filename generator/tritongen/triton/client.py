"""What the clients of both protocols have in common: their words, and how they are opened."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from tritongen.errors import EnvironmentProblem
from tritongen.triton.address import Tls


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself."""

    name: str
    version: str
    extensions: tuple[str, ...]


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


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """Where a request stands in a sequence of requests.

    Attributes:
        identity: the sequence's, a number above 0 or a text.
        start: whether it is the first one.
        end: whether it is the last one.
    """

    identity: int | str
    start: bool = False
    end: bool = False

    @property
    def parameters(self) -> dict[str, int | str | bool]:
        """The same as the parameters of a request."""
        return {
            "sequence_id": self.identity,
            "sequence_start": self.start,
            "sequence_end": self.end,
        }


@dataclass(slots=True)
class ClientBase(ABC):
    """One connection to a server, opened when needed. Not for several threads at once.

    Arrays are numpy's; BYTES are object arrays of bytes. Every method raises EnvironmentProblem:
    TG814 when the server cannot be reached, TG834 when TLS fails, TG815 with the server's reason
    when it refuses, TG861 or TG862 when something before it does, TG839 when its answer is none of
    Triton's or too large.

    Attributes:
        address: ``host:port``.
        timeout: seconds for each answer.
        tls: None for an open connection.
        headers: sent with every request, such as those of restricted APIs.
        path: before that of every request over HTTP.
    """

    address: str
    timeout: float = 60.0
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    path: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def live(self) -> bool:
        """Whether the server answers; a server that cannot be reached is not live."""
        try:
            return self.says_live()
        except EnvironmentProblem as error:
            if error.code == "TG814":
                return False
            raise

    @abstractmethod
    def says_live(self) -> bool:
        """Whether the server says that it is live."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connection; the next request opens a new one."""
