"""The class that Triton's stub drives: one object and one compiled model for each instance."""

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
    refusal,
)

from .network import Network
from .settings import settings_of


class TritonPythonModel:
    """A model of OpenVINO."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads, checks and compiles the model."""
        config: Json = json.loads(args["model_config"])
        try:
            if args["model_instance_kind"] != "CPU":
                raise RefusedError(
                    f"unable to load model '{config['name']}', Triton OpenVINO backend supports "
                    "only Kind CPU and AUTO"
                )
            settings = settings_of(config)
            path = model_path(args, config.get("default_model_filename") or "model.xml")
            network = Network(path, config, settings)
        except RefusedError as error:
            raise refusal(error) from error
        batch = int(config.get("max_batch_size", 0))
        self._executor = Executor(config["name"], batch, network.run)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers a batch of requests, in their order."""
        responses: list[Any] = self._executor.execute(requests)
        return responses
