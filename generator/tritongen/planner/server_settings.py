"""The server's own settings: environment, flags and the thread rule over all models."""

from collections.abc import Sequence

from tritongen.model.backends import BACKENDS
from tritongen.model.intent import Target
from tritongen.model.lock import CACHE, LIMITER, LIMITER_RESOURCE, TELEMETRY, THREADS
from tritongen.model.serving_plan import (
    InstanceKind,
    ModelPlan,
    Planned,
    Reason,
    ServerPlan,
    Source,
)

CACHE_BYTES = 64 * 2**20


def plan_server(
    target: Target, cores: Planned[int], models: Sequence[ModelPlan], limited: bool
) -> ServerPlan:
    """Environment and flags that agree with the models' plans.

    Args:
        target: of the plan.
        cores: the CPU budget.
        models: every model planned.
        limited: whether the rate limiter enforces the thread rule.
    """
    return ServerPlan(
        triton=target.triton,
        cores=cores,
        memory_bytes=target.memory_bytes,
        gpus=target.gpus,
        environment=_environment(models),
        flags=_flags(cores.value, models, limited),
    )


def _environment(models: Sequence[ModelPlan]) -> tuple[tuple[str, Planned[str]], ...]:
    # Where variables alone limit a model, they must hold it to what was planned.
    held = [model.threads.value for model in models if _by_environment(model)]
    if held:
        threads = min(held)
        why = "the threads of models that no parameter limits, one process an instance"
    else:
        threads = max((model.threads.value for model in models), default=1)
        why = "the most threads of one instance"
    reason = Reason(
        Source.RULE,
        f"{threads}: {why}; OpenMP and BLAS otherwise take every core of the host in each process",
    )
    return (
        *((name, Planned(str(threads), reason)) for name in THREADS),
        (
            TELEMETRY,
            Planned("1", Reason(Source.RULE, "1: newer ONNX Runtimes report usage by default")),
        ),
    )


def _by_environment(model: ModelPlan) -> bool:
    """Whether only environment variables limit the model's CPU threads."""
    backend = BACKENDS.get(model.backend)
    if backend is None or model.kind.value is not InstanceKind.CPU:
        return False
    rule = backend.served_as(platform=model.platform).threads
    keys = {key for key, _ in model.parameters}
    return bool(rule.environment) and rule.intra_key not in keys


def _flags(
    cores: int, models: Sequence[ModelPlan], limited: bool
) -> tuple[tuple[str, Planned[str]], ...]:
    flags: list[tuple[str, Planned[str]]] = []
    if limited:
        reason = Reason(
            Source.RULE,
            f"more instances than the {cores} cores: the rate limiter lets only as many executions "
            "run at a time as the cores hold",
        )
        flags.append((LIMITER, Planned("execution_count", reason)))
        flags.append((LIMITER_RESOURCE, Planned(f"cpu:{cores}", reason)))
    if any(model.response_cache for model in models):
        reason = Reason(Source.INTENT, "a model asks for the response cache; 64 MiB")
        flags.append((CACHE, Planned(f"local,size={CACHE_BYTES}", reason)))
    return tuple(flags)
