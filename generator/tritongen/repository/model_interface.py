"""How a model of a repository is called: names, types, sizes and one sample, from its files."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tritongen.config.pbtxt import parse_config
from tritongen.errors import InvalidInputError
from tritongen.intent import INTENT_FILE, read_intent
from tritongen.model.evidence import ObservedTensor
from tritongen.model.lock import Lock
from tritongen.model.samples import Array, InputRecipe, make_inputs
from tritongen.model.tensors import DType
from tritongen.repository.lock_file import CONFIG_FILE, read_lock
from tritongen.repository.project import last_models
from tritongen.system.sample_files import find_samples
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.sample_tensors import read_rows

VLLM, LLM_API = "vllm", "llmapi"
# An input that TensorRT-LLM's LLM API has and its sets have not.
LLM_API_TOKENS = "sampling_param_max_tokens"
TEXT_INPUT, TEXT_OUTPUT = "text_input", "text_output"
PROMPT = "What is an inference server?"
# More elements than this do not fit a line that people read; they are made where they are sent.
MAX_LITERAL_ELEMENTS = 64
# Texts of more bytes likewise.
_MAX_LITERAL_BYTES = 1_000
_SEED = 1
# Where neither the file nor a trial says how long a dynamic axis is; chosen, the least that runs.
_UNKNOWN_SIZE = 1


@dataclass(frozen=True, slots=True)
class CallTensor:
    """One input or output as a client sees it.

    Attributes:
        name: in the configuration.
        dtype: its element type.
        dims: sizes without the batch axis, -1 for a dynamic one.
        shape: of a request with one row, batch axis included where the model has one; dynamic axes
            as long as in the trial.
        values: what the trial fed, in the grammar of `tritongen.model.input_values`.
        optional: whether a request may leave it out.
        real: a user's own sample of that shape, None where there is none that people can read.
        labels: file of class labels, empty without one.
    """

    name: str
    dtype: DType
    dims: tuple[int, ...]
    shape: tuple[int, ...]
    values: str = ""
    optional: bool = False
    labels: str = ""
    real: Array | None = field(default=None, compare=False)

    @property
    def recipe(self) -> InputRecipe:
        """What makes its sample."""
        return InputRecipe(self.name, self.dtype, self.shape, self.values)

    @property
    def elements(self) -> int:
        """How many the sample has."""
        return math.prod(self.shape)

    @property
    def has_json_form(self) -> bool:
        """Whether Triton takes and gives it as JSON; it has no JSON for 16-bit floats."""
        return self.dtype not in {DType.FP16, DType.BF16}

    def sample(self) -> Array | None:
        """The sample itself, None where it has too many elements to be read."""
        if self.real is not None:
            return self.real
        if self.elements > MAX_LITERAL_ELEMENTS:
            return None
        return make_inputs([self.recipe], _SEED)[self.name]


@dataclass(frozen=True, slots=True)
class ModelInterface:
    """How one model is called.

    Attributes:
        name: of the model.
        inputs: in the order of its configuration.
        outputs: in the order of its configuration.
        max_batch_size: most rows of a request, 0 without a batch axis.
        sequence: whether requests belong to sequences.
        decoupled: whether a request may have any number of responses.
        engine: backend of a model that answers a text with a text; empty for all others.
    """

    name: str
    inputs: tuple[CallTensor, ...]
    outputs: tuple[CallTensor, ...]
    max_batch_size: int
    sequence: bool
    decoupled: bool
    engine: str = ""

    @property
    def sent(self) -> tuple[CallTensor, ...]:
        """The inputs that every request brings."""
        return tuple(item for item in self.inputs if not item.optional)


def model_interface(repository: Path, model: str) -> ModelInterface:
    """Read how a model is called.

    Args:
        repository: folder of models.
        model: its name.

    Raises:
        InvalidInputError: TG306, the repository has no such model; TG461 and its like, its
            configuration cannot be parsed.
    """
    names = interface_names(repository)
    if model not in names:
        raise InvalidInputError(
            "TG306",
            f"no model {model!r} has a {CONFIG_FILE} there; found: {', '.join(names) or 'none'}",
            where=str(repository),
        )
    message = _parsed(repository, model)
    lock = read_lock(repository)
    batched = message.max_batch_size > 0
    fed = _fed(message, model, lock)

    def tensor(item: Any) -> CallTensor:  # noqa: ANN401  (a ModelInput or ModelOutput)
        dims = tuple(item.dims)
        seen = fed.get(item.name)
        shape = _request_shape(dims, batched=batched, seen=seen)
        dtype = DType.from_config(type(item).DESCRIPTOR.fields_by_name["data_type"].enum_type
                                  .values_by_number[item.data_type].name)  # fmt: skip
        return CallTensor(
            item.name,
            dtype or DType.BYTES,
            dims,
            shape,
            seen.values if seen is not None else "",
            optional=getattr(item, "optional", False),
            labels=getattr(item, "label_filename", ""),
        )

    inputs = tuple(tensor(item) for item in message.input)
    interface = ModelInterface(
        model,
        _with_samples(repository, model, inputs, batched=batched),
        tuple(tensor(item) for item in message.output),
        message.max_batch_size,
        sequence=message.HasField("sequence_batching"),
        decoupled=message.model_transaction_policy.decoupled,
    )
    return _as_language_model(interface, message.backend)


def _as_language_model(model: ModelInterface, backend: str) -> ModelInterface:
    """The interface of a model that answers a text with a text, with a text as its sample."""
    import numpy as np

    named = {item.name for item in model.inputs}
    if backend != VLLM and not (
        TEXT_INPUT in named and any(item.name == TEXT_OUTPUT for item in model.outputs)
    ):
        return model
    rows = (1,) if model.max_batch_size > 0 else ()
    asked = CallTensor(TEXT_INPUT, DType.BYTES, (1,), (*rows, 1))
    asked = replace(asked, real=np.full(asked.shape, PROMPT.encode(), object))
    inputs = tuple(asked if item.name == TEXT_INPUT else item for item in model.inputs)
    outputs = model.outputs
    if backend == VLLM:
        # Its backend adds these when it loads; a configuration need not name them.
        inputs = inputs if TEXT_INPUT in named else (asked, *inputs)
        outputs = outputs or (CallTensor(TEXT_OUTPUT, DType.BYTES, (-1,), (1,)),)
    decoupled = model.decoupled or backend == VLLM
    engine = VLLM if backend == VLLM else LLM_API if LLM_API_TOKENS in named else "tensorrtllm"
    return replace(model, inputs=inputs, outputs=outputs, decoupled=decoupled, engine=engine)


def _with_samples(
    repository: Path, model: str, inputs: tuple[CallTensor, ...], *, batched: bool
) -> tuple[CallTensor, ...]:
    """The inputs with a request of the user's samples, the first that people can read."""
    metas = tuple(
        TensorMeta(item.name, item.dtype, ((-1,) if batched else ()) + item.dims) for item in inputs
    )
    try:
        folder = last_models(repository)
        named = read_intent(folder / INTENT_FILE).intent.samples_of(model)
        if not named:
            return inputs
        meta = ModelMeta(model, (), "", metas, ())
        samples = read_rows(find_samples(folder, named), meta, batched)
    except InvalidInputError:
        return inputs  # which build and verify tell
    needed = {item.name for item in inputs if not item.optional}
    for sample in samples:
        real = sample.inputs
        if needed <= set(real) and all(map(_readable, real.values())):
            return tuple(
                replace(item, real=real[item.name], shape=real[item.name].shape)
                if item.name in real
                else item
                for item in inputs
            )
    return inputs


def _readable(array: Array) -> bool:
    """Whether people read it, and JSON holds it."""
    if array.size > MAX_LITERAL_ELEMENTS:
        return False
    if array.dtype.kind != "O":
        return all(math.isfinite(value) for value in array.ravel().tolist())
    text = b"".join(array.ravel().tolist())
    try:
        return text.decode().isprintable() and len(text) <= _MAX_LITERAL_BYTES
    except UnicodeDecodeError:
        return False


def interface_names(repository: Path) -> list[str]:
    """The models of a repository that have a configuration, sorted."""
    return sorted(path.parent.name for path in repository.glob(f"*/{CONFIG_FILE}"))


def _parsed(repository: Path, model: str) -> Any:  # noqa: ANN401  (a ModelConfig)
    path = repository / model / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        raise InvalidInputError("TG003", f"cannot be read: {problem}", where=str(path)) from None
    parsed = parse_config(text, str(path))
    for fault in parsed.findings:
        if not parsed.ok:
            raise InvalidInputError(fault.code, fault.message, where=str(path), fix=fault.fix)
    return parsed.message


def _fed(
    message: Any,  # noqa: ANN401  (a ModelConfig)
    model: str,
    lock: Lock | None,
) -> Mapping[str, ObservedTensor]:
    """What trials fed to the inputs of a model or, for an ensemble, to those of its steps."""
    if lock is None:
        return {}

    def tried(name: str) -> Iterable[ObservedTensor]:
        locked = lock.models.get(name)
        trial = locked.evidence.trial if locked is not None else None
        return trial.inputs if trial is not None and trial.ok else ()

    own = {item.name: item for item in tried(model)}
    for step in message.ensemble_scheduling.step:
        for item in tried(step.model_name):
            if item.name in step.input_map:
                own.setdefault(step.input_map[item.name], item)
    return own


def _request_shape(
    dims: tuple[int, ...], *, batched: bool, seen: ObservedTensor | None
) -> tuple[int, ...]:
    """One row's shape; a dynamic axis is as long as what the trial fed, where ranks agree."""
    rank = len(dims) + batched
    known = seen.shape if seen is not None and len(seen.shape) == rank else (_UNKNOWN_SIZE,) * rank
    sizes = (size if size > 0 else known[at + batched] for at, size in enumerate(dims))
    return ((1,) if batched else ()) + tuple(sizes)
