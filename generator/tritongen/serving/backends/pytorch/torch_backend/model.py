"""The class that Triton's stub drives: one object and one module for each instance."""

from collections.abc import Mapping

from python_backends.config import Json, RefusedError, model_path
from python_backends.serving import BackendModel, Run, on_cpu

from .script import ScriptModel
from .settings import settings_of


class TorchModel(BackendModel):
    """A model of PyTorch."""

    keeps_states = True

    def load(self, args: Mapping[str, str], config: Json) -> Run:
        """Loads the file and holds the configuration against it."""
        on_cpu(args, "pytorch")
        named = config.get("default_model_filename") or "model.pt"
        if named == "model.py":
            raise RefusedError("the Python-based pytorch backend serves no modules in Python")
        return ScriptModel(model_path(args, named), config, settings_of(config)).run
