"""What can be asked of a Triton besides load, whichever protocol carries it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tritongen.errors import EnvironmentProblem
from tritongen.triton.address import Tls
from tritongen.triton.http_channel import MAX_BODY_BYTES
from tritongen.triton.messages import ModelMeta


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
class ServerClient(ABC):
    """One connection to a server, opened when needed. Not for several threads at once.

    Arrays are numpy's; BYTES are object arrays of bytes. Every method raises EnvironmentProblem:
    TG814 when the server cannot be reached, TG834 when TLS fails, TG815 with the server's reason
    when it refuses, TG839 when its answer is none of Triton's or too large.

    Attributes:
        address: ``host:port``.
        timeout: seconds for each answer.
        tls: None for an open connection.
        headers: sent with every request, such as those of restricted APIs.
    """

    address: str
    timeout: float = 60.0
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

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
    def connect(self) -> None:
        """Reads certificates; the server is asked for nothing but its own, if that is needed."""

    @abstractmethod
    def says_live(self) -> bool:
        """Whether the server says that it is live."""

    @abstractmethod
    def metadata(self) -> ServerInfo:
        """Name, version and extensions of the server."""

    @abstractmethod
    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether this model answers requests."""

    @abstractmethod
    def model_metadata(self, name: str, version: str = "") -> ModelMeta:
        """Versions, inputs and outputs, the batch axis included in shapes."""

    @abstractmethod
    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """The completed ModelConfig as the server holds it, in the terms of the HTTP API."""

    @abstractmethod
    def statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Counters and times of one model's versions, or of every model's."""

    @abstractmethod
    def index(self) -> tuple[IndexEntry, ...]:
        """Every model of the repository with its state."""

    @abstractmethod
    def load(
        self, name: str, config: Mapping[str, Any] | None = None, seconds: float | None = None
    ) -> None:
        """Loads or reloads a model, with another configuration when one is given.

        Args:
            name: the model.
            config: its configuration; None for the repository's.
            seconds: for the answer; the client's own limit when None.
        """

    @abstractmethod
    def unload(self, name: str) -> None:
        """Starts to unload a model; `index` says when it is gone."""

    @abstractmethod
    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        """Lets the server use a system shared memory region of that many bytes."""

    @abstractmethod
    def unregister_shared_memory(self, name: str) -> None:
        """Lets the server forget a region."""

    @abstractmethod
    def infer(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] = (),
        version: str = "",
        sequence: SequenceStep | None = None,
        most_bytes: int = MAX_BODY_BYTES,
    ) -> dict[str, Any]:
        """Runs a model once.

        Args:
            name: the model.
            inputs: name → array, the batch axis included when the model batches.
            outputs: names to return; all when empty.
            version: of the model; the server's choice when empty.
            sequence: for a model that keeps state; None for any other.
            most_bytes: of the answer over HTTP.

        Returns:
            name → array.
        """

    @abstractmethod
    def close(self) -> None:
        """Closes the connection; the next request opens a new one."""
