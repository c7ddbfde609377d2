"""Formats that Triton does not serve: told apart, and where to go from there."""

from dataclasses import dataclass

from tritongen.formats.reading import ModelSource
from tritongen.model.facts import ModelFacts

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
        fault = source.finding(code, f"{self.name}: {self.lacks}", fix=self.fix)
        return ModelFacts(source.model, source.path, source.format, findings=(fault,))


SKLEARN = Unserved(
    "pickled scikit-learn model",
    "Triton has no backend for pickles, and loading one runs whatever code it holds",
    f"{_TO_ONNX} (skl2onnx.to_onnx); forests can also go through treelite.sklearn.import_model.",
    pickled=True,
)
KERAS = Unserved(
    "Keras model",
    "Triton has no backend for it",
    f"{_TO_ONNX} (model.export('model.onnx', format='onnx')).",
)
SAFETENSORS = Unserved(
    "safetensors",
    "the file holds weights without the graph that runs them",
    f"{_TO_ONNX} (for Hugging Face models: optimum-cli export onnx).",
)
TFLITE = Unserved(
    "TensorFlow Lite model",
    "only OpenVINO's backend could load it, and its inputs and outputs are not read",
    f"Convert it to OpenVINO IR (openvino.convert_model), or {_TO_ONNX[0].lower()}{_TO_ONNX[1:]} "
    "(python -m tf2onnx.convert --tflite …).",
)
UNKNOWN = Unserved("file", "its content is no format known here", "")
