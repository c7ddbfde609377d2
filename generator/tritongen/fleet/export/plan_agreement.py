"""Whether a plan of machines and the built repository have one number for one thing."""

import math
from collections.abc import Iterator

from tritongen.errors import InvalidInputError
from tritongen.fleet.export.deployment import PlannedService
from tritongen.model.counting import counted
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.lock import LIMITER_RESOURCE, Lock
from tritongen.repository.render_repository import CONFIG_FILE


def built_shares(lock: Lock, model: str) -> tuple[int, int]:
    """Instances and threads of a model; none of a pipeline."""
    locked = lock.models.get(model)
    return (0, 0) if locked is None else (locked.instances, locked.threads)


def _handed_over(lock: Lock, model: str) -> bool:
    """Whether its configuration came with it."""
    locked = lock.models.get(model)
    return locked is not None and locked.facts is not None and locked.facts.template is not None


def plan_findings(
    lock: Lock, planned: tuple[PlannedService, ...], models: tuple[str, ...]
) -> Iterator[Finding]:
    """What of the repository nobody planned, and where its numbers are not the plan's.

    Args:
        lock: of the repository.
        planned: services.
        models: of the repository.

    Raises:
        InvalidInputError: TG750, a planned model is not there.
    """
    yield from _unknown_findings(lock, models)
    yield from _service_findings(lock, planned, models)
    yield from _memory_findings(planned, lock)


def _unknown_findings(lock: Lock, models: tuple[str, ...]) -> Iterator[Finding]:
    for name in models:
        if name not in lock.models and f"{name}/{CONFIG_FILE}" not in lock.written:
            yield finding(
                "TG750", Severity.WARNING, "not in tritongen.lock: its threads are not counted",
                fix="Put it among the models and run `tritongen build`.", model=name,
            )  # fmt: skip


def _service_findings(
    lock: Lock, planned: tuple[PlannedService, ...], models: tuple[str, ...]
) -> Iterator[Finding]:
    placed: set[str] = set()
    for service in planned:
        names = [name for name, _, _ in service.models]
        placed.update(names)
        for name in names:
            if name not in models:
                raise InvalidInputError(
                    "TG750", f"the plan has the model {name!r}, the repository has not"
                )
        yield from _split_findings(lock, service, alone=len(planned) == 1)
    if absent := sorted(set(lock.models) - placed):
        yield finding(
            "TG750", Severity.WARNING, f"the plan leaves out {', '.join(absent)}",
            fix="Plan again: `tritongen plan`.",
        )  # fmt: skip


def _split_findings(lock: Lock, service: PlannedService, *, alone: bool) -> Iterator[Finding]:
    """Where plan and repository have two numbers for one thing; none of them can be deployed."""
    fix = f"Run `tritongen build --cpus {service.cores}`, then export."
    # The counts of a configuration that was handed over are its author's: the steps of a language
    # model's set wait for its engine, as many as requests that it is to have.
    own = (name for name, _, _ in service.models if not _handed_over(lock, name))
    threads = sum(math.prod(built_shares(lock, name)) for name in own)
    limit = dict(lock.server.flags).get(LIMITER_RESOURCE, "").removeprefix("cpu:")
    beyond = (
        f"lets {limit} threads run" if limit and int(limit) != service.cores
        else f"runs {threads} threads" if threads > service.cores and not limit
        else ""
    )  # fmt: skip
    if beyond:
        message = (
            f"{service.name} is planned for {counted(service.cores, 'core')}, the repository was "
            f"built for {lock.target.cores} and {beyond}"
        )
        yield finding("TG750", Severity.ERROR, message, fix=fix)
        return
    if service.cores == lock.target.cores:
        # Built anew since, from other times.
        fix = "Run `tritongen plan` again, then export."
    if not alone:
        # A build knows no services: it shares the cores among all models.
        fix = "Pin `instances` and `threads` of the models, build, and plan again."
    for name, instances, each in service.models:
        built = built_shares(lock, name)
        if built not in ((instances, each), (0, 0)):
            message = (
                f"planned with {instances} × {each} threads in {service.cores} cores, built with "
                f"{built[0]} × {built[1]} in {lock.target.cores}"
            )
            yield finding("TG750", Severity.ERROR, message, fix=fix, model=name)


def _memory_findings(planned: tuple[PlannedService, ...], lock: Lock) -> Iterator[Finding]:
    for service in planned:
        if service.memory_bytes is None and lock.target.memory_bytes is None:
            yield finding(
                "TG754",
                Severity.INFO,
                f"{service.name} has no memory limit, and asks for an estimate",
                fix="State target.memory in tritongen.yaml.",
            )
