"""What Triton's core knows of backends: how it fills in `backend`, `platform` and the file name."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tritongen.config.lint.repository_view import ModelView
from tritongen.config.pbtxt import ConfigMessage
from tritongen.model.backends import BACKENDS
from tritongen.model.releases import at_least

ENSEMBLE = "ensemble"

# Platforms that core accepts beside a backend of its own; any text goes with the others.
PLATFORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: rules.platforms for name, rules in BACKENDS.items() if rules.platforms}
)

# Backends of some image that the registry has no entry for.
UNREGISTERED = frozenset({"dali", "identity", "repeat", "square", "vllm", "tensorrtllm"})
_AOTI_SINCE = "26.03"


@dataclass(frozen=True, slots=True)
class _Artefact:
    """A file that tells the backend, in the order in which core looks for them."""

    filename: str
    backend: str
    platform: str = ""
    file: bool = True
    folder: bool = False


_ARTEFACTS = (
    _Artefact("model.savedmodel", "tensorflow", "tensorflow_savedmodel", file=False, folder=True),
    _Artefact("model.graphdef", "tensorflow", "tensorflow_graphdef"),
    _Artefact("model.plan", "tensorrt", "tensorrt_plan"),
    _Artefact("model.onnx", "onnxruntime", "onnxruntime_onnx", folder=True),
    _Artefact("model.xml", "openvino"),
    _Artefact("model.pt", "pytorch", "pytorch_libtorch"),
    _Artefact("model.pt2", "pytorch", "torch_aoti"),
    _Artefact("model.py", "python"),
)


def image_backends(release: str) -> frozenset[str]:
    """Backends that some image of a release ships."""
    known = {
        name
        for name, rules in BACKENDS.items()
        if not rules.until or at_least(rules.until, release)
    }
    return UNREGISTERED | known


def autofill(config: ConfigMessage, view: ModelView, release: str) -> None:
    """Fills name, backend, platform and file name in the message, as core does on loading."""
    if not config.name:
        config.name = view.name
    if config.platform == ENSEMBLE:
        return
    artefacts = tuple(
        artefact
        for artefact in _ARTEFACTS
        if artefact.platform != "torch_aoti" or at_least(release, _AOTI_SINCE)
    )
    open_platform = config.backend == "tensorflow" and not config.platform
    if not config.backend or open_platform:
        found = _by_field(config, artefacts) or _by_file(config, view, artefacts)
        if found is not None and (not open_platform or found.backend == config.backend):
            config.backend = found.backend
            config.platform = config.platform or found.platform
    if not config.backend:
        _by_name(config, view)
        return
    _fill_rest(config, artefacts)


def _by_field(config: ConfigMessage, artefacts: tuple[_Artefact, ...]) -> _Artefact | None:
    platform, filename = config.platform, config.default_model_filename
    for artefact in artefacts:
        if platform and platform == artefact.platform:
            return artefact
        if filename and filename == artefact.filename and not _is_tensorflow(artefact, platform):
            return artefact
    return None


def _is_tensorflow(artefact: _Artefact, platform: str) -> bool:
    """Core takes TensorFlow from a file name only while no platform is written."""
    return artefact.backend == "tensorflow" and bool(platform)


def _by_file(
    config: ConfigMessage, view: ModelView, artefacts: tuple[_Artefact, ...]
) -> _Artefact | None:
    """By the files of the first subfolder, the only one that core looks into."""
    if config.platform or config.default_model_filename or not view.directories:
        return None
    folder = min(view.directories)
    for artefact in artefacts:
        path = f"{folder}/{artefact.filename}"
        is_file, is_folder = view.file(path) is not None, view.has_folder(path)
        if (artefact.file and is_file) or (artefact.folder and is_folder):
            return artefact
    return None


def _by_name(config: ConfigMessage, view: ModelView) -> None:
    if config.platform or config.default_model_filename or "." not in view.name:
        return
    config.backend = view.name.partition(".")[2]
    config.default_model_filename = f"model.{config.backend}"


def _fill_rest(config: ConfigMessage, artefacts: tuple[_Artefact, ...]) -> None:
    """Platform and file name of a known backend."""
    for artefact in artefacts:
        if artefact.backend != config.backend:
            continue
        if artefact.backend == "tensorflow" and artefact.platform != config.platform:
            continue
        if artefact.platform and config.platform not in {"", artefact.platform}:
            continue
        config.platform = config.platform or artefact.platform
        if not config.default_model_filename:
            config.default_model_filename = artefact.filename
        return
