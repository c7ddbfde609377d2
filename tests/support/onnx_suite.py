"""The models of the `onnx` package's own backend tests, with what they must answer.

Each has inputs and outputs stored beside it. The large "light" networks have stored outputs only:
their weights are constants, and the package's runner feeds them a ramp.
"""

import locale
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
# The runner's own tolerances; one network has a wider one in its data.json.
RELATIVE, ABSOLUTE = 1e-3, 1e-7
WIDER = {"light_densenet121": 2e-3}
# Change the case of letters, for which ONNX Runtime wants a locale that many machines lack.
LOCALE = "en_US.UTF-8"

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class SuiteModel:
    """One model.

    Attributes:
        name: of its folder, or of its file for the light networks.
        path: of the model file.
    """

    name: str
    path: Path

    @property
    def relative(self) -> float:
        """Relative tolerance of its outputs."""
        return WIDER.get(self.name, RELATIVE)

    def pairs(self) -> list[tuple[Arrays, Arrays]]:
        """Inputs and expected outputs of every stored data set."""
        graph = onnx.load(self.path).graph
        weights = {item.name for item in graph.initializer}
        inputs = [item for item in graph.input if item.name not in weights]
        outputs = [item.name for item in graph.output]
        if self.path.name != "model.onnx":
            stored = [f"{self.path.stem}_output_{number}.pb" for number in range(len(outputs))]
            arrays = [_stored(self.path.with_name(name)) for name in stored]
            feeds = {item.name: _ramp(item) for item in inputs}
            return [(feeds, dict(zip(outputs, arrays, strict=True)))]
        names = [item.name for item in inputs]
        return [
            (_side(folder, "input", names), _side(folder, "output", outputs))
            for folder in sorted(self.path.parent.glob("test_data_set_*"))
        ]


@cache
def suite() -> tuple[SuiteModel, ...]:
    """Every model, by name."""
    found = [
        SuiteModel(path.parent.name if path.name == "model.onnx" else path.stem, path)
        for path in DATA.rglob("*.onnx")
    ]
    return tuple(sorted(found, key=lambda model: model.name))


def has_locale() -> bool:
    """Whether this machine has that locale."""
    kept = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, LOCALE)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_CTYPE, kept)
    return True


def _side(folder: Path, side: str, names: list[str]) -> Arrays:
    return {name: _stored(folder / f"{side}_{number}.pb") for number, name in enumerate(names)}


def _stored(path: Path) -> np.ndarray:
    tensor = onnx.TensorProto.FromString(path.read_bytes())
    array = numpy_helper.to_array(tensor)
    if tensor.data_type != onnx.TensorProto.STRING:
        return array
    # As the protocol carries them: bytes.
    texts = [item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()]
    return np.array([*texts, None], dtype=object)[:-1].reshape(array.shape)


def _ramp(value: onnx.ValueInfoProto) -> np.ndarray:
    sizes = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    count = int(np.prod(sizes))
    return (np.arange(count).reshape(sizes) / count).astype(np.float32)
