"""The shape of a backend's entry in the registry, and how its CPU threads are counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.tensors import DType

# Faults of the names of inputs and outputs, as sentences; empty when they can be served.
NamesCheck = Callable[[ModelFacts, tuple[str, ...], tuple[str, ...]], tuple[str, ...]]


class ThreadScope(StrEnum):
    """What a thread parameter's value holds for."""

    INSTANCE = "instance"
    MODEL = "model"
    PROCESS = "process"
    PROCESS_PER_INSTANCE = "process per instance"


@dataclass(frozen=True, slots=True)
class ThreadRule:
    """How a backend's CPU threads are set and counted.

    Attributes:
        scope: what the value of `intra_key` holds for.
        intra_key: parameter for the threads that share one operator, empty when there is none.
        inter_key: parameter for operators that run side by side, empty when there is none.
        mode_key: parameter that switches side-by-side operators on, empty when there is none.
        streams_key: parameter for executions that share the model's threads, empty for none.
        environment: variables that the backend's libraries obey where no parameter is set; the
            first one that is set counts.
        capped: whether those variables also bound the parameter's value.
        default: threads without any setting, None for as many as the machine has.
        pooled: whether all instances share one set of threads.
        unset: what the backend does without any setting, for people.
        pins: whether its threads then pin themselves to CPUs, out of a process's own affinity.
    """

    scope: ThreadScope
    intra_key: str = ""
    inter_key: str = ""
    mode_key: str = ""
    streams_key: str = ""
    environment: tuple[str, ...] = ()
    capped: bool = False
    default: int | None = None
    pooled: bool = False
    unset: str = ""
    pins: bool = False


def threads_each(
    rule: ThreadRule, parameters: Mapping[str, str], environment: Mapping[str, str]
) -> int | None:
    """Threads of one execution, or of the whole pool where all share it; None without a limit."""
    stated = _leading_number(parameters, rule.intra_key)
    variable = next(
        (found for name in rule.environment if (found := _leading_number(environment, name))), None
    )
    if stated and variable and rule.capped:
        stated = min(stated, variable)
    threads = stated or variable or rule.default
    if threads is None:
        return None
    return threads + _side_by_side(rule, parameters)


def _side_by_side(rule: ThreadRule, parameters: Mapping[str, str]) -> int:
    """Threads beyond those of one operator, where operators run side by side."""
    if rule.mode_key and _leading_number(parameters, rule.mode_key) != 1:
        return 0
    # The thread that calls belongs to both pools.
    return max(_leading_number(parameters, rule.inter_key) or 1, 1) - 1


def _leading_number(values: Mapping[str, str], key: str) -> int | None:
    """A leading number above 0, None when there is none: that leaves the choice to the library."""
    text = values.get(key, "").strip()
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    return int(digits[:9]) or None if digits else None


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter with the sentence that explains it."""

    key: str
    value: str
    why: str


# From the model's facts and the target release (``YY.MM``).
SettingsOf = Callable[[ModelFacts, str], tuple[Setting, ...]]


class ValueKind(StrEnum):
    """How a backend reads a parameter's string value."""

    INT = "int"
    BOOL = "bool"
    FLOAT = "float"
    CHOICE = "choice"
    TEXT = "text"
    PATH = "path"


class BatchSupport(StrEnum):
    """What `max_batch_size` means to a backend."""

    # 0 and more are served; above 0, every request may bring up to so many rows.
    FREE = "free"
    # Above 0, every execution must have exactly so many rows.
    EXACT = "exact"
    # 0 is refused: inputs are tables, and each request brings rows of one.
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ParameterRule:
    """One key of the top-level `parameters` map that a backend reads.

    Attributes:
        kind: how the value is read.
        key: exact spelling.
        effect: what it does, in a few words.
        default: what holds without it, in words.
        choices: accepted texts for `ValueKind.CHOICE`, and texts accepted beside a number for
            `ValueKind.INT`.
        case_sensitive: whether `choices` are.
        minimum: least accepted number, None for no bound.
        since: first Triton release (``YY.MM``) that reads it, empty for all known ones.
        until: last release that reads it, empty when it still does.
        required: whether the backend refuses a model without it.
        instead: key that has to be written for releases before `since`, empty for none.
    """

    kind: ValueKind
    key: str
    effect: str
    default: str = ""
    choices: tuple[str, ...] = ()
    case_sensitive: bool = True
    minimum: float | None = None
    since: str = ""
    until: str = ""
    required: bool = False
    instead: str = ""


# A rule by the kind of its value, as the files of the backends list them.
number = partial(ParameterRule, ValueKind.INT)
switch = partial(ParameterRule, ValueKind.BOOL)
decimal = partial(ParameterRule, ValueKind.FLOAT)
choice = partial(ParameterRule, ValueKind.CHOICE)
text = partial(ParameterRule, ValueKind.TEXT)
path = partial(ParameterRule, ValueKind.PATH)


@dataclass(frozen=True, slots=True)
class Artefact:
    """One serialisation that a backend loads.

    Attributes:
        format: as told by its content.
        filename: main file, or folder, in the version folder.
        platform: what `platform` must say, empty to leave the field out.
        since: first release that loads it, empty for all known ones.
        until: last release that loads it, empty when it still does.
    """

    format: ModelFormat
    filename: str
    platform: str = ""
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class BackendRules:
    """Everything that planner, `check` and tuner know of a backend.

    Attributes:
        name: the `backend` field.
        artefacts: what it loads, the usual one first.
        threads: thread parameters and their scope.
        flavour: `platform` or `runtime` that selects these rules within the backend, empty for
            the backend's own.
        flavours: rules of the backend's other platforms and runtimes.
        parameters: keys that it reads.
        open_parameters: whether other keys have a meaning too, to the model's own code.
        platforms: accepted `platform` strings; any text is accepted when empty.
        refused_dtypes: element types that it cannot serve.
        true_texts: spellings of true.
        false_texts: spellings of false; empty when everything else counts as false.
        case_sensitive: whether those spellings are.
        default_cpu_instances: count that Triton fills in for a CPU model without instance_group.
        optional_inputs: whether `optional: true` is accepted.
        scalars: whether tensors of rank 0 are accepted.
        bf16_since: first release that serves BF16, empty for never, ``00.00`` for always.
        kinds: instance kinds that it accepts, without prefix.
        since: first release of the backend or flavour, empty for all known ones.
        until: last release that ships it, empty when it is still shipped.
        batching: what max_batch_size means.
        naming: how inputs and outputs must be named, for people.
        names: checks that; backends that compare names with the model's own need no check.
        completes: what the backend fills in of a configuration that leaves it out, for people.
        settings: parameters that a configuration must state, from what the file says.
        states: whether it hands states of sequences back to the server.
        trial: library that runs its models in the trial, empty for none.
        embedded: what serves it in the embedded Triton, empty for nothing.
        own_scheduler: whether its engine batches requests by itself, each whenever it has room.
        arena_key: parameter whose `0` makes an instance do without its memory arena, empty for
            none. The tuner offers that to its winner only.
    """

    name: str
    artefacts: tuple[Artefact, ...]
    threads: ThreadRule
    flavour: str = ""
    flavours: "tuple[BackendRules, ...]" = ()
    parameters: tuple[ParameterRule, ...] = ()
    open_parameters: bool = False
    platforms: tuple[str, ...] = ()
    refused_dtypes: frozenset[DType] = frozenset()
    true_texts: tuple[str, ...] = ("true", "on", "1")
    false_texts: tuple[str, ...] = ("false", "off", "0")
    case_sensitive: bool = False
    default_cpu_instances: int = 1
    optional_inputs: bool = False
    scalars: bool = True
    bf16_since: str = ""
    kinds: tuple[str, ...] = ("AUTO", "CPU", "GPU", "MODEL")
    since: str = ""
    until: str = ""
    batching: BatchSupport = BatchSupport.FREE
    naming: str = "the model's own names"
    names: NamesCheck = lambda _facts, _inputs, _outputs: ()
    completes: str = "nothing"
    settings: SettingsOf = lambda _facts, _release: ()
    states: bool = False
    trial: str = ""
    embedded: str = ""
    own_scheduler: bool = False
    arena_key: str = ""

    @property
    def formats(self) -> tuple[ModelFormat, ...]:
        """Formats that it loads, the usual one first."""
        return tuple(artefact.format for artefact in self.artefacts)

    def parameter(self, key: str) -> ParameterRule | None:
        """The rule of one key, None when the backend does not read it."""
        return next((rule for rule in self.parameters if rule.key == key), None)

    def artefact(self, format_: ModelFormat) -> Artefact | None:
        """How a format is laid out, None when it is not loaded."""
        return next((item for item in self.artefacts if item.format is format_), None)

    def served_as(self, *, platform: str = "", runtime: str = "") -> "BackendRules":
        """The rules that a configuration's platform and runtime select."""
        wanted = {platform, runtime} - {""}
        return next((item for item in self.flavours if item.flavour in wanted), self)
