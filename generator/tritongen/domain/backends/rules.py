"""The shape of a backend's entry in the registry."""

from dataclasses import dataclass
from enum import StrEnum

from tritongen.domain.facts import ModelFormat
from tritongen.domain.tensors import DType


class ValueKind(StrEnum):
    """How a backend reads a parameter's string value."""

    INT = "int"
    BOOL = "bool"
    FLOAT = "float"
    CHOICE = "choice"
    TEXT = "text"
    PATH = "path"


class ThreadScope(StrEnum):
    """What a thread parameter counts for."""

    INSTANCE = "instance"
    MODEL = "model"
    PROCESS = "process"
    PROCESS_PER_INSTANCE = "process per instance"


@dataclass(frozen=True, slots=True)
class ParameterRule:
    """One key of the top-level `parameters` map that a backend reads.

    Attributes:
        key: exact spelling.
        kind: how the value is read.
        choices: accepted texts for `ValueKind.CHOICE`.
        minimum: least accepted number, None for no bound.
        since: first Triton release (``YY.MM``) that reads it, empty for all known ones.
        until: last release that reads it, empty when it still does.
        default: what holds without it, in words.
        effect: what it does, in a few words.
    """

    key: str
    kind: ValueKind
    effect: str
    default: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class ThreadRule:
    """How a backend's CPU threads are set and counted.

    Attributes:
        scope: what `intra_key` counts for.
        intra_key: parameter for the threads that share one operator, empty when there is none.
        inter_key: parameter for operators that run side by side, empty when there is none.
        mode_key: parameter that switches side-by-side operators on, empty when there is none.
        environment: variables that the backend's libraries obey.
        unset: what the backend does without any setting.
    """

    scope: ThreadScope
    intra_key: str = ""
    inter_key: str = ""
    mode_key: str = ""
    environment: tuple[str, ...] = ()
    unset: str = ""


@dataclass(frozen=True, slots=True)
class BackendRules:
    """Everything that planner, `check` and tuner know of a backend.

    Attributes:
        name: the `backend` field.
        formats: formats that it serves.
        platforms: accepted `platform` strings; any text is accepted when empty.
        platform: what the planner writes, empty to leave the field out.
        default_filename: main file in the version folder.
        refused_dtypes: element types that it cannot serve.
        true_texts: spellings of true.
        false_texts: spellings of false; empty when everything else counts as false.
        case_sensitive: whether those spellings are.
        parameters: keys that it reads.
        threads: thread parameters and their scope.
        default_cpu_instances: count that Triton fills in for a CPU model without instance_group.
        optional_inputs: whether `optional: true` is accepted.
        bf16_since: first release that serves BF16, empty for never, ``00.00`` for always.
        kinds: instance kinds that it accepts, without prefix.
    """

    name: str
    formats: tuple[ModelFormat, ...]
    default_filename: str
    threads: ThreadRule
    parameters: tuple[ParameterRule, ...] = ()
    platforms: tuple[str, ...] = ()
    platform: str = ""
    refused_dtypes: frozenset[DType] = frozenset()
    true_texts: tuple[str, ...] = ("true", "on", "1")
    false_texts: tuple[str, ...] = ("false", "off", "0")
    case_sensitive: bool = False
    default_cpu_instances: int = 1
    optional_inputs: bool = False
    bf16_since: str = ""
    kinds: tuple[str, ...] = ("AUTO", "CPU", "GPU", "MODEL")

    def parameter(self, key: str) -> ParameterRule | None:
        """The rule of one key, None when the backend does not read it."""
        return next((rule for rule in self.parameters if rule.key == key), None)
