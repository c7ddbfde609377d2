"""One model as the rules see it: its configuration completed as Triton completes it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from tritongen.config.lint.repository_view import LintContext, ModelView
from tritongen.config.pbtxt import Message, ParsedConfig, parse_config
from tritongen.config.protobuf import dtype_of, new_model_config
from tritongen.model.backends import BACKENDS, BackendRules
from tritongen.model.engine_facts import VllmFacts
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.releases import at_least

CONFIG_FILE = "config.pbtxt"
RESERVED_FOLDERS = frozenset({"warmup", "initial_state", "configs"})
# Fields that rules over several models point at.
_POINTED_AT = ("ensemble_scheduling", "instance_group", "max_batch_size", "parameters")
_LEADING_INTEGER = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")
ENSEMBLE = "ensemble"
# Platforms that core accepts beside a backend of its own; any text goes with the others.
PLATFORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: rules.platforms for name, rules in BACKENDS.items() if rules.platforms}
)
# Backends of some image that the registry has no entry for.
UNREGISTERED = frozenset({"identity", "repeat", "square"})
_AOTI_SINCE = "26.03"


@dataclass(frozen=True, slots=True)
class LintedModel:
    """One model folder with its parsed configuration.

    Attributes:
        view: the folder.
        parsed: text, faults and lines of the configuration.
        config: the message with name, backend, platform and file name filled in. Without a
            configuration file it holds these alone.
        versions: folders that Triton takes for versions by the number that it reads from their
            names, ascending.
        served: those of them that the version policy selects.
        written: whether a configuration file exists.
        callees: models that a Python model calls; see `PythonFacts`.
        vllm: what the engine arguments of a vLLM model say.
    """

    view: ModelView
    parsed: ParsedConfig
    config: Message
    versions: Mapping[int, str]
    served: Mapping[int, str]
    written: bool
    callees: tuple[str, ...] = ()
    vllm: VllmFacts | None = None

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.view.name

    def each(self, path: str) -> Iterator[tuple[str, Any]]:
        """(Path, value) of every item of a repeated field, such as ``batch_input[0]``."""
        items = attrgetter(path)(self.config)
        return ((f"{path}[{index}]", item) for index, item in enumerate(items))

    def reduced(self) -> "LintedModel":
        """The model as rules over a whole repository need it: without text, files and facts.

        A repository may have thousands of models, whose facts and lines take most of the room.
        """
        lines = {
            path: line for path, line in self.parsed.lines.items() if path.startswith(_POINTED_AT)
        }
        return replace(
            self,
            view=ModelView(self.name, None),
            parsed=replace(self.parsed, message=self.config, lines=lines),
        )

    @property
    def rules(self) -> BackendRules | None:
        """What the registry knows of the backend and its flavour, None without an entry."""
        entry = BACKENDS.get(self.config.backend)
        if entry is None:
            return None
        return entry.served_as(platform=self.config.platform, runtime=self.config.runtime)

    @property
    def onnx(self) -> ModelFacts | None:
        """What inspection says of the model's file, None where it is no ONNX file or unknown."""
        facts = self.view.facts
        return facts if facts is not None and facts.format is ModelFormat.ONNX else None

    @property
    def is_ensemble(self) -> bool:
        """Whether it has steps instead of a backend."""
        return bool(self.config.platform == ENSEMBLE or self.config.HasField("ensemble_scheduling"))

    @property
    def batching(self) -> bool:
        """Whether requests carry a batch axis that `dims` leave out."""
        return bool(self.config.max_batch_size > 0)

    @property
    def parameters(self) -> Mapping[str, str]:
        """The backend's parameters as text."""
        return {key: value.string_value for key, value in self.config.parameters.items()}

    def error(self, code: str, field: str, message: str, fix: str = "") -> Finding:
        """Triton refuses the model, or serves it wrongly."""
        return self.finding(code, Severity.ERROR, field, message, fix)

    def warning(self, code: str, field: str, message: str, fix: str = "") -> Finding:
        """Triton accepts it in silence, and it is wrong or costly."""
        return self.finding(code, Severity.WARNING, field, message, fix)

    def info(self, code: str, field: str, message: str, fix: str = "") -> Finding:
        """Advice."""
        return self.finding(code, Severity.INFO, field, message, fix)

    def folder_error(self, code: str, message: str, fix: str = "", path: str = "") -> Finding:
        """Like `error`, of the model's folder or a path in it."""
        return self._in_folder(code, Severity.ERROR, message, fix, path)

    def folder_warning(self, code: str, message: str, fix: str = "", path: str = "") -> Finding:
        """Like `warning`, of the model's folder or a path in it."""
        return self._in_folder(code, Severity.WARNING, message, fix, path)

    def folder_info(self, code: str, message: str, fix: str = "", path: str = "") -> Finding:
        """Like `info`, of the model's folder or a path in it."""
        return self._in_folder(code, Severity.INFO, message, fix, path)

    def _in_folder(
        self, code: str, severity: Severity, message: str, fix: str, path: str
    ) -> Finding:
        place = f"{self.name}/{path}" if path else self.name
        return finding(code, severity, message, fix=fix, model=self.name, path=place)

    def finding(
        self, code: str, severity: Severity, field: str, message: str, fix: str = ""
    ) -> Finding:
        """What is said of a field of the configuration."""
        return finding(
            code,
            severity,
            message,
            fix=fix,
            model=self.name,
            path=self.parsed.path if self.written else self.name,
            line=self.parsed.line(field),
            field=field,
        )


Models = Mapping[str, LintedModel]


def linted_model(
    view: ModelView, context: LintContext, *, variant: tuple[str, str] | None = None
) -> LintedModel:
    """Parses a model's configuration, or one of its variants, and completes it."""
    relative, text = variant or (CONFIG_FILE, view.config)
    path = f"{view.name}/{relative}"
    parsed = parse_config(text or "", path)
    config = new_model_config()
    config.CopyFrom(parsed.message)
    autofill(config, view, context.release.tag)
    versions = version_folders(view.directories)
    return LintedModel(
        view=view,
        parsed=parsed,
        config=config,
        versions=versions,
        served=_served(config, versions),
        written=text is not None,
        callees=view.facts.python.callees if view.facts and view.facts.python else (),
        vllm=view.facts.vllm if view.facts else None,
    )


def version_number(folder: str) -> int | None:
    """The number that Triton reads from a folder's name, None for a folder that it ignores.

    It reads the leading integer only: ``2x`` is version 2, ``1e3`` is version 1.
    """
    if folder in RESERVED_FOLDERS or (len(folder) > 1 and folder.startswith("0")):
        return None
    match = _LEADING_INTEGER.match(folder)
    return int(match.group()) if match and not is_oversized(folder) else None


def is_oversized(folder: str) -> bool:
    """Whether a folder's name begins with a number beyond 64 bits, which ends the server."""
    match = _LEADING_INTEGER.match(folder)
    if match is None or folder.startswith("0"):
        return False
    digits = match.group().strip()
    return len(digits) > 20 or not -(2**63) <= int(digits) < 2**63


def version_folders(directories: tuple[str, ...]) -> dict[int, str]:
    """Every folder that counts as a version, ascending, one for each number."""
    numbers: dict[int, str] = {}
    for folder in sorted(directories):
        number = version_number(folder)
        if number is not None:
            numbers[number] = str(number) if str(number) in directories else folder
    return dict(sorted(numbers.items()))


def _served(config: Message, versions: Mapping[int, str]) -> dict[int, str]:
    policy, numbers = config.version_policy, list(versions)
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        numbers = [number for number in numbers if number in policy.specific.versions]
    elif choice == "latest":
        count = policy.latest.num_versions
        numbers = numbers[-count:] if count else []
    elif not config.HasField("version_policy"):
        # An empty `version_policy { }` means every version; none at all means the newest one.
        numbers = numbers[-1:]
    return {number: versions[number] for number in numbers}


def element_count(dims: tuple[int, ...]) -> int | None:
    """The product of fixed dims, None when one is dynamic; 1 for no dims."""
    count = 1
    for dim in dims:
        if dim < 0:
            return None
        count *= dim
    return count


def data_bytes(tensor: Message) -> int:
    """Bytes that a tensor's data take, 0 where types or sizes leave it open."""
    dtype = dtype_of(tensor.data_type)
    return (element_count(tuple(tensor.dims)) or 0) * (dtype.itemsize if dtype is not None else 0)


def show_dims(dims: tuple[int, ...]) -> str:
    """Dims for people: ``[-1, 3]``."""
    return "[" + ", ".join(str(dim) for dim in dims) + "]"


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


def autofill(config: Message, view: ModelView, release: str) -> None:
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


def _by_field(config: Message, artefacts: tuple[_Artefact, ...]) -> _Artefact | None:
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
    config: Message, view: ModelView, artefacts: tuple[_Artefact, ...]
) -> _Artefact | None:
    """By the files of the first subfolder, the only one that core looks into."""
    if config.platform or config.default_model_filename or not view.directories:
        return None
    folder = min(view.directories)
    for artefact in artefacts:
        path = f"{folder}/{artefact.filename}"
        if (artefact.file and path in view.files) or (artefact.folder and view.has_folder(path)):
            return artefact
    return None


def _by_name(config: Message, view: ModelView) -> None:
    if config.platform or config.default_model_filename or "." not in view.name:
        return
    config.backend = view.name.partition(".")[2]
    config.default_model_filename = f"model.{config.backend}"


def _fill_rest(config: Message, artefacts: tuple[_Artefact, ...]) -> None:
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
