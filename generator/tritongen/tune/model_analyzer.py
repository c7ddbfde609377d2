"""Goals from a configuration file of Model Analyzer: its objectives and constraints.

There a weighted sum of objectives ranks what was measured, and constraints leave results out. Here
a goal names what is made best, and one limit: the objective of the greatest weight, the constraint
of the highest percentile, and a throughput to hold are told in its terms. The rest is told apart.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritongen.errors import InvalidInputError, describe_error
from tritongen.intent.yaml_tree import MAX_BYTES, Plain, parse
from tritongen.system.paths import read_head

_THROUGHPUT = "perf_throughput"
_RATE = (_THROUGHPUT, "min")
_LATENCY = re.compile(r"perf_latency_p([0-9]{2})")
# Their older keys for the same.
_BUDGETS = {"latency_budget": ("perf_latency_p99", "max"), "min_throughput": _RATE}
_NO_RATE = "perf_throughput: {min: …} among the constraints names a rate"
_OWN_KEYS = ("objectives", "constraints", *_BUDGETS)


@dataclass(frozen=True, slots=True)
class AnalyzerGoals:
    """What a file asks for.

    Attributes:
        goal: of every model that has no own; empty where the file states none.
        by_model: own goals, by model.
        models: that are to be profiled; empty for all.
        notes: what of the file is not heeded.
    """

    goal: str
    by_model: Mapping[str, str]
    models: tuple[str, ...]
    notes: tuple[str, ...]


def read_goals(path: Path) -> AnalyzerGoals:
    """The goals of a file.

    Raises:
        InvalidInputError: TG003, it cannot be read; TG301, TG302 or TG304, it is no such file;
            TG953, no objective of it has a counterpart.
    """
    try:
        text = read_head(path, MAX_BYTES + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG003", what, where=str(path)) from problem
    root = _mapping(parse(text, str(path)).value, "the file", path)
    models = _models(root.get("profile_models"), path)
    notes: list[str] = []
    goal = _goal(root, "", path, notes) if any(key in root for key in _OWN_KEYS) else ""
    own = {}
    for name, entry in models.items():
        if any(key in entry for key in _OWN_KEYS):
            own[name] = _goal({**root, **entry}, f"{name}: ", path, notes)
    if not goal and not own:
        what = "it holds neither objectives nor constraints"
        raise InvalidInputError("TG304", what, where=str(path), fix="Name a goal with --goal.")
    return AnalyzerGoals(goal, own, tuple(models), tuple(dict.fromkeys(notes)))


def _models(found: Plain, path: Path) -> dict[str, dict[str, Plain]]:
    """The models to profile, in any of the forms that Model Analyzer takes."""
    if isinstance(found, str):
        return {name.strip(): {} for name in found.split(",") if name.strip()}
    if isinstance(found, dict):
        return {name: _mapping(entry or {}, name, path) for name, entry in found.items()}
    models: dict[str, dict[str, Plain]] = {}
    for item in found if isinstance(found, list) else ():
        models |= {item: {}} if isinstance(item, str) else _models(_mapping(item, "", path), path)
    return models


def _goal(entry: Mapping[str, Plain], model: str, path: Path, notes: list[str]) -> str:
    """Objectives and constraints as a goal of `tune`."""
    wanted, bounds = _objective(entry, model, path, notes), dict(_stated(entry, path))
    latency, rate = _LATENCY.fullmatch(wanted), bounds.get(_RATE)
    if latency is not None and rate is None:
        goal = "throughput@1"
        notes.append(f"{model}the lowest latency is sought for one client; {_NO_RATE}")
    else:
        ends = {int(match[1]): key for key in bounds if (match := _LATENCY.fullmatch(key[0]))}
        limits = {percentile: key for percentile, key in ends.items() if key[1] == "max"}
        goal = f"p{latency[1]}" if latency is not None else "throughput"
        if limits:
            percentile = max(limits)
            goal = f"p{percentile}<{_plain(bounds.pop(limits[percentile]))}ms"
        if latency is not None and rate is not None:
            goal += f"@{_plain(bounds.pop(_RATE))}/s"
    notes += [f"{model}the constraint {name}: {{{end}: …}} is not heeded" for name, end in bounds]
    return goal


def _objective(entry: Mapping[str, Plain], model: str, path: Path, notes: list[str]) -> str:
    """The objective of the greatest weight, of those that have a counterpart."""
    found = entry.get("objectives") or [_THROUGHPUT]
    if isinstance(found, list):
        weights = {str(name): 1.0 for name in found}
    else:
        pairs = _mapping(found, "objectives", path).items()
        weights = {name: _number(value, f"objectives.{name}", path) for name, value in pairs}
    known = [name for name in weights if name == _THROUGHPUT or _LATENCY.fullmatch(name)]
    if not known:
        what = f"no objective has a counterpart: {', '.join(weights)}"
        raise InvalidInputError("TG953", what, where=str(path))
    wanted = max(known, key=lambda name: weights[name])
    notes += [
        f"{model}the objective {name} is not heeded beside {wanted}"
        for name in weights
        if name != wanted
    ]
    return wanted


def _stated(entry: Mapping[str, Plain], path: Path) -> Iterator[tuple[tuple[str, str], float]]:
    """(metric, min or max), and the number."""
    for key, bound in _BUDGETS.items():
        if key in entry:
            yield bound, _number(entry[key], key, path)
    constraints = _mapping(entry.get("constraints") or {}, "constraints", path)
    for name, ends in constraints.items():
        for end, value in _mapping(ends, f"constraints.{name}", path).items():
            yield (name, end), _number(value, f"constraints.{name}.{end}", path)


def _plain(value: float) -> str:
    """A number as goals have it, without an exponent."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _mapping(value: Plain, place: str, path: Path) -> dict[str, Plain]:
    if not isinstance(value, dict):
        raise InvalidInputError("TG304", f"{place} must be a mapping", where=str(path))
    return value


def _number(value: Plain, place: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
        raise InvalidInputError("TG304", f"{place} must be a number above 0", where=str(path))
    return float(value)
