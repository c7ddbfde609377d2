"""One reader for every format; those of formats that Triton does not serve name the way out."""

from collections.abc import Mapping

from tritongen.formats.aoti import read_aoti
from tritongen.formats.config_template import read_template
from tritongen.formats.dali import read_dali, read_dali_python
from tritongen.formats.onnx_reader import read_onnx
from tritongen.formats.openvino import read_openvino
from tritongen.formats.python_model import read_python_model
from tritongen.formats.reading import Reader
from tritongen.formats.tensorflow import read_graphdef, read_savedmodel
from tritongen.formats.tensorrt import read_tensorrt
from tritongen.formats.torch_archive import read_torch_pickle
from tritongen.formats.torchscript import read_torchscript
from tritongen.formats.trees import (
    read_lightgbm,
    read_treelite,
    read_xgboost,
    read_xgboost_binary,
)
from tritongen.formats.vllm import read_vllm
from tritongen.model.facts import ModelFormat

_TO_ONNX = "Export the model to ONNX"


def _unserved(name: str, lacks: str, fix: str, code: str = "TG105") -> Reader:
    """The reader of a format that no backend loads; TG129 where loading it would run code."""
    return lambda source: source.facts.refused(code, f"{name}: {lacks}", fix=fix)


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
    ModelFormat.VLLM: read_vllm,
    ModelFormat.DALI: read_dali,
    ModelFormat.DALI_PYTHON: read_dali_python,
    ModelFormat.TEMPLATE: read_template,
    ModelFormat.SKLEARN_PICKLE: _unserved(
        "pickled scikit-learn model",
        "Triton has no backend for pickles, and loading one runs whatever code it holds",
        f"{_TO_ONNX} (skl2onnx.to_onnx); forests can also go through "
        "treelite.sklearn.import_model.",
        "TG129",
    ),
    ModelFormat.KERAS: _unserved(
        "Keras model",
        "Triton has no backend for it",
        f"{_TO_ONNX} (model.export('model.onnx', format='onnx')).",
    ),
    ModelFormat.SAFETENSORS: _unserved(
        "safetensors",
        "the file holds weights without the graph that runs them",
        f"{_TO_ONNX} (for Hugging Face models: optimum-cli export onnx).",
    ),
    ModelFormat.TFLITE: _unserved(
        "TensorFlow Lite model",
        "only OpenVINO's backend could load it, and its inputs and outputs are not read",
        "Convert it to OpenVINO IR (openvino.convert_model), or export the model to ONNX "
        "(python -m tf2onnx.convert --tflite …).",
    ),
    ModelFormat.UNKNOWN: _unserved("file", "its content is no format known here", ""),
}
