"""The two sides of `verify`: requests to a server, and runs on this machine."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.model.facts import ModelFacts
from tritongen.model.samples import Array
from tritongen.model.tensors import DType, TensorSpec
from tritongen.trial.child_session import ChildSession, ChildSessions
from tritongen.trial.runtime import DeclaredInterface, RuntimeRefusal, numbered
from tritongen.triton.client import SequenceStep
from tritongen.triton.connect import ServerClient
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_channel import MAX_BODY_BYTES

Outputs = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Pair:
    """The outputs of one request.

    Attributes:
        expected: by this machine or by the user.
        served: by the server.
        place: of the sample that was sent, empty for made-up inputs.
        by_user: whether the user says what is expected.
    """

    expected: Outputs
    served: Outputs
    place: str = ""
    by_user: bool = False


@dataclass(frozen=True, slots=True)
class LocalRuns:
    """Models on this machine.

    Attributes:
        sessions: where they are loaded.
        code: whether those that are programs run.
        tell: told of each of these.
    """

    sessions: ChildSessions
    code: bool
    tell: Callable[[str], None]

    def session(
        self, facts: ModelFacts, path: Path, config: Mapping[str, Any]
    ) -> AbstractContextManager[ChildSession]:
        """A loaded model.

        Args:
            facts: of the model.
            path: its main file or folder.
            config: as the server holds it.

        Raises:
            InvalidInputError: TG149, it is a program that may not run.
        """
        if facts.format.is_code:
            if not self.code:
                raise InvalidInputError("TG149", "its code is not run on this machine")
            self.tell(facts.name)
        return self.sessions.session(facts, path, _interface(config))


def _interface(config: Mapping[str, Any]) -> DeclaredInterface:
    """What the server's configuration says of a model whose file does not say it."""
    batches = int(config.get("max_batch_size", 0)) > 0

    def specs(key: str) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                item["name"],
                DType.from_config(item["data_type"]),
                tuple(
                    dim if dim >= 0 else None
                    for dim in (*([-1] if batches else []), *map(int, item["dims"]))
                ),
            )
            for item in config.get(key, ())
        )

    parameters = config.get("parameters", {})
    return DeclaredInterface(
        inputs=specs("input"),
        outputs=specs("output"),
        parameters={key: entry.get("string_value", "") for key, entry in parameters.items()},
        max_batch_size=int(config.get("max_batch_size", 0)),
        decoupled=is_decoupled(config),
    )


def run_steps(
    steps: Sequence[Mapping[str, Any]],
    sessions: Mapping[str, ChildSession],
    outputs: Sequence[str],
    inputs: Mapping[str, Array],
) -> dict[str, Array]:
    """The outputs of a chain of models, each run once what it waits for is there.

    Args:
        steps: of an ensemble's configuration.
        sessions: by model.
        outputs: the ensemble's tensors to return.
        inputs: by the ensemble's tensors.

    Raises:
        RuntimeRefusal: a step does not run, or waits for what nothing gives.
    """
    tensors = dict(inputs)
    waiting = list(steps)
    while waiting:
        ready = [step for step in waiting if set(step["input_map"].values()) <= set(tensors)]
        if not ready:
            raise RuntimeRefusal(f"step {waiting[0]['model_name']} waits for a missing tensor")
        for step in ready:
            fed = {own: tensors[tensor] for own, tensor in step["input_map"].items()}
            given = sessions[step["model_name"]].run(fed)
            tensors |= {tensor: given[own] for own, tensor in step["output_map"].items()}
        waiting = [step for step in waiting if step not in ready]
    return {name: tensors[name] for name in outputs}


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model on the server.

    Attributes:
        http: a client of the server.
        grpc: another, None where only its HTTP address is known.
        name: of the model.
        ranks: of its inputs on the server.
        decoupled: whether it answers with any number of responses.
    """

    http: ServerClient
    grpc: GrpcClient | None
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
            most_bytes = MAX_BODY_BYTES + 2 * sum(map(_size, expected.values()))
            return self.http.infer(
                self.name, sent, version=str(version), sequence=sequence, most_bytes=most_bytes
            )
        if self.grpc is None:
            message = "it is decoupled and answers over gRPC; only an HTTP address was given"
            raise InvalidInputError("TG836", message)
        return numbered(self.grpc.stream(self.name, sent, str(version)))


def _size(array: Array) -> int:
    """Bytes on the wire, without the lengths of texts."""
    if array.dtype.kind != "O":
        return int(array.nbytes)
    return sum(len(item) for item in array.flat)


def is_decoupled(config: Mapping[str, Any]) -> bool:
    """Whether a configuration allows any number of responses to a request."""
    return bool(config.get("model_transaction_policy", {}).get("decoupled"))
