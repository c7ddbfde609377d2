"""The class that Triton's stub drives: one object and one module for each instance."""

import json
from collections.abc import Sequence
from typing import Any

from python_backends.config import (  # type: ignore[import-not-found]  # on the stub's path only
    Json,
    RefusedError,
    model_path,
    states,
)
from python_backends.serving import (  # type: ignore[import-not-found]  # on the stub's path only
    Executor,
    on_cpu,
    refusal,
)
from python_backends.states import (  # type: ignore[import-not-found]  # on the stub's path only
    StateKeeper,
    sequences_of,
)

from .script import ScriptModel
from .settings import settings_of


class TritonPythonModel:
    """A model of PyTorch."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the file and holds the configuration against it."""
        config: Json = json.loads(args["model_config"])
        on_cpu(args, "pytorch")
        try:
            kept = {taken.name: given.name for taken, given in states(config)}
            self._executor = Executor(
                config["name"],
                int(config.get("max_batch_size", 0)),
                _load(args, config),
                StateKeeper(kept, sequences_of(config)) if kept else None,
            )
        except RefusedError as error:
            raise refusal(error) from error

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers a batch of requests, in their order."""
        responses: list[Any] = self._executor.execute(requests)
        return responses


def _load(args: dict[str, str], config: Json) -> Any:  # noqa: ANN401  (a function of arrays)
    named = config.get("default_model_filename") or "model.pt"
    if named == "model.py":
        raise RefusedError("the Python-based pytorch backend serves no modules in Python")
    return ScriptModel(model_path(args, named), config, settings_of(config)).run
