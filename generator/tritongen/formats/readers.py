"""One reader for every format; those of formats that Triton does not serve name the way out."""

from collections.abc import Mapping
from dataclasses import dataclass

from tritongen.formats.onnx import read_onnx
from tritongen.formats.openvino import read_openvino
from tritongen.formats.python_model import read_python_model
from tritongen.formats.reading import ModelSource, Reader
from tritongen.formats.tensorflow import read_graphdef, read_savedmodel
from tritongen.formats.tensorrt import read_tensorrt
from tritongen.formats.torch import read_aoti, read_torch_pickle, read_torchscript
from tritongen.formats.trees import (
    read_lightgbm,
    read_treelite,
    read_xgboost,
    read_xgboost_binary,
)
from tritongen.model.facts import ModelFacts, ModelFormat

_TO_ONNX = "Export the model to ONNX"


@dataclass(frozen=True, slots=True)
class Unserved:
    """The reader of a format that no backend loads.

    Attributes:
        name: of the format, for people.
        lacks: why it cannot be served.
        fix: how to convert it.
        pickled: whether loading it would run code.
    """

    name: str
    lacks: str
    fix: str
    pickled: bool = False

    def __call__(self, source: ModelSource) -> ModelFacts:
        """One finding that names the format, what is missing, and the way out."""
        code = "TG129" if self.pickled else "TG105"
        return source.facts.refused(code, f"{self.name}: {self.lacks}", fix=self.fix)


READERS: Mapping[ModelFormat, Reader] = {
    ModelFormat.ONNX: read_onnx,
    ModelFormat.TORCHSCRIPT: read_torchscript,
    ModelFormat.TORCH_AOTI: read_aoti,
    ModelFormat.TORCH_PICKLE: read_torch_pickle,
    ModelFormat.OPENVINO: read_openvino,
    ModelFormat.TENSORRT: read_tensorrt,
    ModelFormat.SAVEDMODEL: read_savedmodel,
    ModelFormat.GRAPHDEF: read_graphdef,
    ModelFormat.XGBOOST_JSON: read_xgboost,
    ModelFormat.XGBOOST_UBJ: read_xgboost,
    ModelFormat.XGBOOST_BINARY: read_xgboost_binary,
    ModelFormat.LIGHTGBM: read_lightgbm,
    ModelFormat.TREELITE: read_treelite,
    ModelFormat.PYTHON: read_python_model,
    ModelFormat.SKLEARN_PICKLE: Unserved(
        "pickled scikit-learn model",
        "Triton has no backend for pickles, and loading one runs whatever code it holds",
        f"{_TO_ONNX} (skl2onnx.to_onnx); forests can also go through "
        "treelite.sklearn.import_model.",
        pickled=True,
    ),
    ModelFormat.KERAS: Unserved(
        "Keras model",
        "Triton has no backend for it",
        f"{_TO_ONNX} (model.export('model.onnx', format='onnx')).",
    ),
    ModelFormat.SAFETENSORS: Unserved(
        "safetensors",
        "the file holds weights without the graph that runs them",
        f"{_TO_ONNX} (for Hugging Face models: optimum-cli export onnx).",
    ),
    ModelFormat.TFLITE: Unserved(
        "TensorFlow Lite model",
        "only OpenVINO's backend could load it, and its inputs and outputs are not read",
        "Convert it to OpenVINO IR (openvino.convert_model), or export the model to ONNX "
        "(python -m tf2onnx.convert --tflite …).",
    ),
    ModelFormat.UNKNOWN: Unserved("file", "its content is no format known here", ""),
}
