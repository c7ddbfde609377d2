"""How a backend's CPU threads are set, and how many they are in all."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# Thread pools of the libraries behind models in Python, in the order in which they are obeyed.
LIBRARY_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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
    stated = _number(parameters, rule.intra_key)
    variable = next(
        (found for name in rule.environment if (found := _number(environment, name))), None
    )
    if stated and variable and rule.capped:
        stated = min(stated, variable)
    threads = stated or variable or rule.default
    if threads is None:
        return None
    return threads + _side_by_side(rule, parameters)


def _side_by_side(rule: ThreadRule, parameters: Mapping[str, str]) -> int:
    """Threads beyond those of one operator, where operators run side by side."""
    if rule.mode_key and _number(parameters, rule.mode_key) != 1:
        return 0
    # The thread that calls belongs to both pools.
    return max(_number(parameters, rule.inter_key) or 1, 1) - 1


def _number(values: Mapping[str, str], key: str) -> int | None:
    """A leading number above 0, None when there is none: that leaves the choice to the library."""
    text = values.get(key, "").strip()
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    return int(digits[:9]) or None if digits else None
