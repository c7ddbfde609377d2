"""The class that Triton's stub drives: one object and one forest for each instance."""

import json
from collections.abc import Sequence
from typing import Any

from python_backends.config import (  # type: ignore[import-not-found]  # on the stub's path only
    Json,
    RefusedError,
    model_path,
)
from python_backends.serving import (  # type: ignore[import-not-found]  # on the stub's path only
    Executor,
    on_cpu,
    refusal,
)

from .forest import Forest
from .settings import FILES, settings_of


class TritonPythonModel:
    """A forest."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the forest and holds the configuration against it."""
        config: Json = json.loads(args["model_config"])
        on_cpu(args, "fil")
        try:
            settings = settings_of(config)
            named = config.get("default_model_filename") or FILES[settings.kind]
            forest = Forest(model_path(args, named), config, settings)
        except RefusedError as error:
            raise refusal(error) from error
        batch = int(config.get("max_batch_size", 0))
        self._executor = Executor(config["name"], batch, forest.run)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers a batch of requests, in their order."""
        responses: list[Any] = self._executor.execute(requests)
        return responses
