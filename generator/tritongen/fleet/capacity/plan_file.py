"""The plan file: what `plan` decided, for `export`, `observe` and `report` to read.

Deterministic JSON: sorted keys, floats of six digits, lists of plain values on one line. It lies
beside the repository and can be committed with it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.capacity_plan import CapacityPlan, Estimate, Option
from tritongen.model.business import Business
from tritongen.model.codec import decode_text, encode

SCHEMA_VERSION = 1
_SUFFIX = ".plan.json"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan with the option that was chosen from it.

    Attributes:
        tool: name and version of the writer.
        plan: all options that can be paid for; those that were only bounded come without their
            services.
        chosen: index of the option to deploy.
        time_zone: IANA name of the clock of every schedule.
        business: what was planned for.
        models: sha256 of each model's main file, by name: the plan holds for these bytes.
    """

    tool: str
    plan: CapacityPlan
    chosen: int
    time_zone: str = "UTC"
    business: Business = field(default_factory=Business)
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def option(self) -> Option:
        """The option to deploy."""
        return self.plan.options[self.chosen]


def plan_path(repository: PurePath) -> str:
    """Where the plan of a repository lies: beside it, ``model_repository.plan.json``."""
    return str(repository.with_name(repository.name + _SUFFIX))


def plan_text(file: PlanFile) -> str:
    """The JSON text of a plan file."""
    kept = [option for option in file.plan.options if math.isfinite(option.usd_per_month)]
    chosen = kept.index(file.option)
    options = tuple(_short(option) for option in kept)
    slim = replace(file, plan=replace(file.plan, options=options), chosen=chosen)
    document = {"schema_version": SCHEMA_VERSION, **encode(slim)}
    return _dumps(document, "") + "\n"


def parse_plan(text: str, where: str) -> PlanFile:
    """Read a plan file's text.

    Raises:
        InvalidInputError: TG354 for anything that is not a plan of this schema version.
    """
    try:
        file = decode_text(PlanFile, text, "plan", SCHEMA_VERSION)
    except ValueError as problem:
        raise InvalidInputError("TG354", str(problem), where=where) from problem
    if not 0 <= file.chosen < len(file.plan.options):
        what = f"option {file.chosen} is chosen, there are {len(file.plan.options)}"
        raise InvalidInputError("TG354", what, where=where)
    return file


def _short(option: Option) -> Option:
    return replace(option, services=()) if option.estimate is Estimate.BOUND else option


def _dumps(value: Any, indent: str) -> str:  # noqa: ANN401  (a JSON value)
    """JSON in which lists of plain values stand on one line."""
    if isinstance(value, dict) and value:
        inner = indent + " "
        lines = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_dumps(item, inner)}"
            for key, item in sorted(value.items())
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        inner = indent + " "
        return "[\n" + ",\n".join(inner + _dumps(item, inner) for item in value) + f"\n{indent}]"
    if isinstance(value, list):
        return "[" + ", ".join(_dumps(item, indent) for item in value) + "]"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no place in a plan")
        return json.dumps(float(f"{value:.6g}"))
    return json.dumps(value, ensure_ascii=False)
