"""The plan that lies beside a repository: written, read, and whether it still holds."""

from pathlib import Path

from tritongen import __version__
from tritongen.errors import InvalidInputError, describe_error
from tritongen.fleet.capacity.capacity_plan import (
    CapacityPlan,
    PlanFile,
    parse_plan,
    plan_path,
    plan_text,
)
from tritongen.fleet.capacity.sizing import CapacityInput
from tritongen.model.evidence import Evidence
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.lock import Lock
from tritongen.system.files import write_atomic
from tritongen.system.paths import read_head

# Chosen: one of many services over a week by the hour has some hundred kilobytes.
_MAX_BYTES = 200 * 2**20


def store_plan(found: CapacityPlan, inputs: CapacityInput, path: Path) -> Path | None:
    """Write a plan; None where no option is feasible.

    Args:
        found: options.
        inputs: that it rests on.
        path: where it is kept.

    Raises:
        EnvironmentProblem: TG004 or TG005, it cannot be written.
    """
    if found.best is None:
        return None
    file = PlanFile(
        tool=f"tritongen {__version__}",
        plan=found,
        chosen=found.options.index(found.best),
        time_zone=inputs.intent.business.pattern.time_zone or "UTC",
        business=inputs.intent.business,
        models=_hashes(inputs.evidence, tuple(inputs.profiles)),
    )
    write_atomic(path, plan_text(file).encode())
    return path


def _hashes(evidence: Evidence, names: tuple[str, ...]) -> dict[str, str]:
    return {
        name: evidence.models[name].files[0][1] for name in names if evidence.models[name].files
    }


def read_plan(repository: Path, path: Path | None = None) -> PlanFile | None:
    """The plan of a repository, None when there is none.

    Args:
        repository: beside which it lies.
        path: where it lies instead.

    Raises:
        InvalidInputError: TG354, it cannot be read, or is named and not there.
    """
    place = path or Path(plan_path(repository))
    try:
        return parse_plan(read_head(place, _MAX_BYTES).decode("utf-8"), str(place))
    except FileNotFoundError as problem:
        if path is None:
            return None
        raise InvalidInputError("TG354", "does not exist", where=str(place)) from problem
    except (OSError, UnicodeDecodeError) as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG354", what, where=str(place)) from problem


def stale_plan(file: PlanFile, lock: Lock | None) -> tuple[Finding, ...]:
    """A warning where models have changed since the plan was made."""
    changed = changed_models(file, lock) if lock is not None else []
    if not changed:
        return ()
    what = f"{', '.join(changed)} changed since the plan was made"
    return (finding("TG355", Severity.WARNING, what),)


def changed_models(file: PlanFile, lock: Lock) -> list[str]:
    """Models whose main file is another one than the plan was made for."""
    served = {name: one.evidence.files[:1] for name, one in lock.models.items()}
    return [
        name
        for name, digest in sorted(file.models.items())
        if served.get(name) and served[name][0][1] != digest
    ]
