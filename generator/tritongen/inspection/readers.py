"""One reader for every format."""

from collections.abc import Mapping
from types import MappingProxyType

from tritongen.domain.facts import ModelFormat
from tritongen.domain.findings import Severity, finding
from tritongen.inspection.onnx import read_onnx
from tritongen.inspection.reading import Reader, Reading, Source


class _Recognised:
    """The reader of a format that is told apart and not read further."""

    def __init__(self, name: str, lacks: str, fix: str = "", *, pickled: bool = False) -> None:
        self._name = name
        self._lacks = lacks
        self._fix = fix
        self._pickled = pickled

    def __call__(self, source: Source) -> Reading:
        """Findings that name the format and what is missing."""
        findings = [
            finding(
                "TG105",
                Severity.ERROR,
                f"{self._name}: {self._lacks}",
                fix=self._fix,
                model=source.model,
                path=source.path,
            )
        ]
        if self._pickled:
            findings.append(
                finding(
                    "TG129",
                    Severity.ERROR,
                    "loading a pickle runs whatever code it holds; it is never loaded here",
                    fix=self._fix,
                    model=source.model,
                    path=source.path,
                )
            )
        return Reading(findings=tuple(findings))


_NO_IO = "its inputs and outputs are not read, so no configuration can be written"
_TO_ONNX = "Export the model to ONNX"

READERS: Mapping[ModelFormat, Reader] = MappingProxyType(
    {
        ModelFormat.ONNX: read_onnx,
        ModelFormat.TORCHSCRIPT: _Recognised(
            "TorchScript",
            "the file names no output and gives no shape, and its arguments are not read",
            f"{_TO_ONNX} (torch.onnx.export), or write its config.pbtxt by hand.",
        ),
        ModelFormat.TORCH_AOTI: _Recognised(
            "AOT Inductor package",
            _NO_IO,
            f"{_TO_ONNX} (torch.onnx.export), or write its config.pbtxt by hand.",
        ),
        ModelFormat.TORCH_PICKLE: _Recognised(
            "pickled PyTorch weights",
            "the file holds weights without the code that runs them",
            f"{_TO_ONNX} from the training code (torch.onnx.export).",
            pickled=True,
        ),
        ModelFormat.OPENVINO: _Recognised(
            "OpenVINO IR", _NO_IO, "Serve the ONNX model that it was converted from."
        ),
        ModelFormat.TENSORRT: _Recognised(
            "TensorRT plan",
            "it runs on the GPU and with the TensorRT that built it, and is not read",
            "Serve the ONNX model that it was built from, or write its config.pbtxt by hand.",
        ),
        ModelFormat.SAVEDMODEL: _Recognised(
            "TensorFlow SavedModel",
            "its signatures are not read, and Triton has no TensorFlow backend since 25.03",
            f"{_TO_ONNX} (python -m tf2onnx.convert --saved-model …).",
        ),
        ModelFormat.GRAPHDEF: _Recognised(
            "TensorFlow GraphDef",
            "it names no inputs or outputs, and Triton has no TensorFlow backend since 25.03",
            f"{_TO_ONNX} (python -m tf2onnx.convert --graphdef …).",
        ),
        ModelFormat.XGBOOST_JSON: _Recognised(
            "XGBoost JSON", _NO_IO, f"{_TO_ONNX} (onnxmltools.convert_xgboost)."
        ),
        ModelFormat.XGBOOST_UBJ: _Recognised(
            "XGBoost UBJSON", _NO_IO, f"{_TO_ONNX} (onnxmltools.convert_xgboost)."
        ),
        ModelFormat.XGBOOST_BINARY: _Recognised(
            "XGBoost's old binary format", _NO_IO, "Save it again as JSON or UBJSON."
        ),
        ModelFormat.LIGHTGBM: _Recognised(
            "LightGBM text model", _NO_IO, f"{_TO_ONNX} (onnxmltools.convert_lightgbm)."
        ),
        ModelFormat.TREELITE: _Recognised(
            "Treelite checkpoint", _NO_IO, "Export the original model to ONNX."
        ),
        ModelFormat.PYTHON: _Recognised(
            "model.py of the python backend",
            "it declares its inputs and outputs only when it runs, and it is not run here",
            "Write its config.pbtxt by hand.",
        ),
        ModelFormat.SKLEARN_PICKLE: _Recognised(
            "pickled scikit-learn model",
            "Triton has no backend for pickles",
            f"{_TO_ONNX} (skl2onnx.to_onnx).",
            pickled=True,
        ),
        ModelFormat.KERAS: _Recognised(
            "Keras model",
            "Triton has no backend for it",
            f"{_TO_ONNX} (model.export(…, format='onnx')).",
        ),
        ModelFormat.SAFETENSORS: _Recognised(
            "safetensors",
            "the file holds weights without the graph that runs them",
            f"{_TO_ONNX} (for Hugging Face models: optimum-cli export onnx).",
        ),
        ModelFormat.TFLITE: _Recognised(
            "TensorFlow Lite model", _NO_IO, f"{_TO_ONNX} (python -m tf2onnx.convert --tflite …)."
        ),
    }
)
