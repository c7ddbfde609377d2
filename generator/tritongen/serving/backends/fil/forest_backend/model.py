"""The class that Triton's stub drives: one object and one forest for each instance."""

from collections.abc import Mapping

from python_backends.config import Json, model_path
from python_backends.serving import BackendModel, Run, on_cpu

from .forest import Forest
from .settings import FILES, settings_of


class ForestModel(BackendModel):
    """A forest."""

    def load(self, args: Mapping[str, str], config: Json) -> Run:
        """Reads the forest and holds the configuration against it."""
        on_cpu(args, "fil")
        settings = settings_of(config)
        named = config.get("default_model_filename") or FILES[settings.kind]
        return Forest(model_path(args, named), config, settings).run
