"""What can be asked of a Triton besides load, whichever protocol carries it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tritongen.triton.foreign_answer import MAX_BODY_BYTES
from tritongen.triton.messages import ModelMeta

__all__ = ["IndexEntry", "SequenceStep", "ServerClient", "ServerInfo"]


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


class ServerClient(Protocol):
    """One connection to a server. Arrays are numpy's; BYTES are object arrays of bytes.

    Every method raises EnvironmentProblem: TG814 when the server cannot be reached, TG834 when
    TLS fails, TG815 with the server's reason when it refuses, TG839 when its answer is none of
    Triton's or too large.
    """

    def connect(self) -> None:
        """Reads certificates; the server is asked for nothing but its own, if that is needed."""
        ...

    def live(self) -> bool:
        """Whether the server answers; a server that cannot be reached is not live."""
        ...

    def metadata(self) -> ServerInfo:
        """Name, version and extensions of the server."""
        ...

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether this model answers requests."""
        ...

    def model_metadata(self, name: str, version: str = "") -> ModelMeta:
        """Versions, inputs and outputs, the batch axis included in shapes."""
        ...

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """The completed ModelConfig as the server holds it, in the terms of the HTTP API."""
        ...

    def statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Counters and times of one model's versions, or of every model's."""
        ...

    def index(self) -> tuple[IndexEntry, ...]:
        """Every model of the repository with its state."""
        ...

    def load(
        self, name: str, config: Mapping[str, Any] | None = None, seconds: float | None = None
    ) -> None:
        """Loads or reloads a model, with another configuration when one is given.

        Args:
            name: the model.
            config: its configuration; None for the repository's.
            seconds: for the answer; the client's own limit when None.
        """
        ...

    def unload(self, name: str) -> None:
        """Starts to unload a model; `index` says when it is gone."""
        ...

    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        """Lets the server use a system shared memory region of that many bytes."""
        ...

    def unregister_shared_memory(self, name: str) -> None:
        """Lets the server forget a region."""
        ...

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
        ...

    def close(self) -> None:
        """Closes the connection; the next request opens a new one."""
        ...
