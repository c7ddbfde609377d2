"""The runs on this machine that `verify` holds a server's answers against."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.model.facts import ModelFacts
from tritongen.model.samples import Array
from tritongen.model.tensors import DType, TensorSpec
from tritongen.serving.verify_requests import is_decoupled
from tritongen.trial.child_session import ChildSession, child_session
from tritongen.trial.runtime import DeclaredInterface, RuntimeRefusal

__all__ = ["LocalRuns", "run_steps"]


@dataclass(frozen=True, slots=True)
class LocalRuns:
    """Whether models that are programs run on this machine, and who is told of each."""

    code: bool
    tell: Callable[[str], None]

    def session(
        self, facts: ModelFacts, path: Path, config: Mapping[str, Any]
    ) -> AbstractContextManager[ChildSession]:
        """A model loaded in a child process.

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
        return child_session(facts, path, _interface(config))


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
    inputs: Mapping[str, Array],
    outputs: Sequence[str],
) -> dict[str, Array]:
    """The outputs of a chain of models, each run once what it waits for is there.

    Args:
        steps: of an ensemble's configuration.
        sessions: by model.
        inputs: by the ensemble's tensors.
        outputs: the ensemble's tensors to return.

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
