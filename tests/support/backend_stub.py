"""What stands in for Triton's stub: drives the class of a Python-based backend."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

import tritongen.serving
from tritongen.trial import backend_utils
from tritongen.trial.backend_utils import InferenceRequest, Tensor

BACKENDS = Path(tritongen.serving.__file__).parent / "backends"
FP32 = "TYPE_FP32"


def backend(name: str) -> ModuleType:
    sys.modules.setdefault("triton_python_backend_utils", backend_utils)
    spec = importlib.util.spec_from_file_location(f"{name}_backend", BACKENDS / name / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Loaded:
    """A model of a backend as the stub has it."""

    def __init__(self, module: ModuleType, folder: Path, config: dict[str, object]) -> None:
        self.model = module.TritonPythonModel()
        self.model.initialize(
            {
                "model_config": json.dumps({"name": "m", **config}), "model_name": "m",
                "model_instance_kind": "CPU", "model_instance_name": "m_0",
                "model_repository": str(folder), "model_version": "1",
            }
        )  # fmt: skip

    def ask(self, *requests: dict[str, np.ndarray], outputs: tuple[str, ...] = ("y",)):
        made = [
            InferenceRequest("", outputs, [Tensor(name, value) for name, value in one.items()])
            for one in requests
        ]
        return [
            one.error().message()
            if one.has_error()
            else {tensor.name(): tensor.as_numpy() for tensor in one.output_tensors()}
            for one in self.model.execute(made)
        ]


def entry(name: str, dims: list[int], kind: str = FP32) -> dict[str, object]:
    return {"name": name, "data_type": kind, "dims": dims}


def given(**values: str) -> dict[str, object]:
    return {key: {"string_value": value} for key, value in values.items()}
