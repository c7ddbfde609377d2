"""The class that Triton's stub drives: one object and one compiled model for each instance."""

from collections.abc import Mapping

from python_backends.config import Json, RefusedError, model_path
from python_backends.serving import BackendModel, Run

from .network import Network
from .settings import settings_of


class OpenVinoModel(BackendModel):
    """A model of OpenVINO."""

    def load(self, args: Mapping[str, str], config: Json) -> Run:
        """Reads, checks and compiles the model."""
        if args["model_instance_kind"] != "CPU":
            raise RefusedError(
                f"unable to load model '{config['name']}', Triton OpenVINO backend supports only "
                "Kind CPU and AUTO"
            )
        settings = settings_of(config)
        path = model_path(args, config.get("default_model_filename") or "model.xml")
        return Network(path, config, settings).run
