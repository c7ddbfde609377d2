"""One reader for every format."""

from collections.abc import Mapping
from types import MappingProxyType

from tritongen.formats.onnx import read_onnx
from tritongen.formats.openvino import read_openvino
from tritongen.formats.python_model import read_python_model
from tritongen.formats.reading import Reader
from tritongen.formats.tensorflow import read_graphdef, read_savedmodel
from tritongen.formats.tensorrt import read_tensorrt
from tritongen.formats.torch import read_aoti, read_torch_pickle, read_torchscript
from tritongen.formats.trees import (
    read_lightgbm,
    read_treelite,
    read_xgboost_binary,
    read_xgboost_json,
    read_xgboost_ubj,
)
from tritongen.formats.unserved import KERAS, SAFETENSORS, SKLEARN, TFLITE, UNKNOWN
from tritongen.model.facts import ModelFormat

READERS: Mapping[ModelFormat, Reader] = MappingProxyType(
    {
        ModelFormat.ONNX: read_onnx,
        ModelFormat.TORCHSCRIPT: read_torchscript,
        ModelFormat.TORCH_AOTI: read_aoti,
        ModelFormat.TORCH_PICKLE: read_torch_pickle,
        ModelFormat.OPENVINO: read_openvino,
        ModelFormat.TENSORRT: read_tensorrt,
        ModelFormat.SAVEDMODEL: read_savedmodel,
        ModelFormat.GRAPHDEF: read_graphdef,
        ModelFormat.XGBOOST_JSON: read_xgboost_json,
        ModelFormat.XGBOOST_UBJ: read_xgboost_ubj,
        ModelFormat.XGBOOST_BINARY: read_xgboost_binary,
        ModelFormat.LIGHTGBM: read_lightgbm,
        ModelFormat.TREELITE: read_treelite,
        ModelFormat.PYTHON: read_python_model,
        ModelFormat.SKLEARN_PICKLE: SKLEARN,
        ModelFormat.KERAS: KERAS,
        ModelFormat.SAFETENSORS: SAFETENSORS,
        ModelFormat.TFLITE: TFLITE,
        ModelFormat.UNKNOWN: UNKNOWN,
    }
)
