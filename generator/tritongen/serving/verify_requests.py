"""Requests of `verify`: one answer over HTTP, or all responses of a decoupled model over gRPC."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.model.samples import Array
from tritongen.trial.runtime import numbered
from tritongen.triton.client import SequenceStep
from tritongen.triton.connect import ServerClient
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_channel import MAX_BODY_BYTES

Outputs = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class VerifyClients:
    """A server; `grpc` is None where only its HTTP address is known."""

    http: ServerClient
    grpc: GrpcClient | None

    def model(
        self, name: str, config: Mapping[str, Any], ranks: Mapping[str, int]
    ) -> "RemoteModel":
        """A model of it.

        Args:
            name: of the model.
            config: as the server holds it.
            ranks: of its inputs on the server.
        """
        return RemoteModel(self, name, ranks, is_decoupled(config))


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model on the server; see `Connection.model`."""

    connection: VerifyClients
    name: str
    ranks: Mapping[str, int]
    decoupled: bool

    def run(
        self,
        inputs: Mapping[str, Array],
        expected: Outputs,
        sequence: SequenceStep | None = None,
        *,
        version: int,
    ) -> Outputs:
        """Send one request; of several responses see `numbered`.

        A scalar is served as [1], and an input that is the batch axis alone as [n, 1]. The answer
        may have twice the size of what is expected, and some more.

        Raises:
            InvalidInputError: TG836, the model's responses come over gRPC, whose address is not
                known.
        """
        sent = {
            name: array[..., None] if array.ndim < self.ranks.get(name, 0) else array
            for name, array in inputs.items()
        }
        if not self.decoupled:
            http = self.connection.http
            most_bytes = MAX_BODY_BYTES + 2 * sum(map(_size, expected.values()))
            return http.infer(
                self.name, sent, version=str(version), sequence=sequence, most_bytes=most_bytes
            )
        if self.connection.grpc is None:
            message = "it is decoupled and answers over gRPC; only an HTTP address was given"
            raise InvalidInputError("TG836", message)
        return numbered(self.connection.grpc.stream(self.name, sent, str(version)))


def _size(array: Array) -> int:
    """Bytes on the wire, without the lengths of texts."""
    if array.dtype.kind != "O":
        return int(array.nbytes)
    return sum(len(item) for item in array.flat)


def is_decoupled(config: Mapping[str, Any]) -> bool:
    """Whether a configuration allows any number of responses to a request."""
    return bool(config.get("model_transaction_policy", {}).get("decoupled"))
