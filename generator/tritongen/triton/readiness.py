"""Readiness of each expected model, never of the server alone.

A model whose configuration cannot be read leaves the server "ready" and appears nowhere but in the
log, so that every expected model is asked for by name.
"""

import time
from collections.abc import Callable, Sequence

from tritongen.errors import EnvironmentProblem
from tritongen.model.progress import Progress
from tritongen.triton.client import IndexEntry, ServerClient
from tritongen.triton.load_reasons import clean, code_for, poll_failures, telling_lines
from tritongen.triton.server import ModelStatus

__all__ = ["model_statuses", "wait_for_models"]

# What a wait may be longer than it has to be, as a share of it, within these bounds (seconds).
_LATE_SHARE = 0.005
_MIN_POLL_S = 0.002
_MAX_POLL_S = 0.5
_PENDING_STATES = {"LOADING", "UNLOADING"}
# It went away between two questions, or another program has its port: `check_alive` knows.
_NO_SERVER = {"TG814", "TG839"}


def model_statuses(
    client: ServerClient, models: Sequence[str], log: str
) -> tuple[tuple[ModelStatus, ...], bool]:
    """The state of each expected model, and whether all of them are decided for good.

    Args:
        client: of a server that is live.
        models: expected names.
        log: the server's log so far; empty when it is not at hand.

    Raises:
        EnvironmentProblem: TG814 when the server went away.
    """
    if all(client.model_ready(name) for name in models):
        return tuple(ModelStatus(name, ready=True) for name in models), True
    # The index first: a model that finishes meanwhile is then ready, and not one that failed.
    index: dict[str, list[IndexEntry]] = {}
    for entry in client.index():
        index.setdefault(entry.name, []).append(entry)
    unread = {failure.model: failure.reason for failure in poll_failures(log)}
    statuses, decided = [], True
    for name in models:
        entries = index.get(name, [])
        if client.model_ready(name):
            statuses.append(ModelStatus(name, ready=True))
            continue
        if any(entry.state in _PENDING_STATES for entry in entries):
            decided = False
        statuses.append(_failed(name, entries, unread.get(name, "")))
    return tuple(statuses), decided


def _failed(name: str, entries: Sequence[IndexEntry], unread: str) -> ModelStatus:
    states = [entry for entry in entries if entry.state]
    given = next((entry.reason for entry in states if entry.reason), "")
    if any(entry.state in _PENDING_STATES for entry in states):
        return ModelStatus(name, ready=False, reason="still loading", code="TG811")
    if unread and not states:
        return ModelStatus(name, ready=False, reason=unread, code=_unread_code(unread))
    if given:
        reason = clean(given)
        return ModelStatus(name, ready=False, reason=reason, code=code_for(reason))
    if not entries:
        reason = "the server's repository holds no such model"
        return ModelStatus(name, ready=False, reason=reason, code="TG828")
    if not states:
        reason = "the server could not read its configuration; its log says why"
        return ModelStatus(name, ready=False, reason=reason, code="TG821")
    return ModelStatus(name, ready=False, reason="not loaded", code="TG820")


def _unread_code(reason: str) -> str:
    """At the poll stage everything that has no better code is a fault of the configuration."""
    code = code_for(reason)
    return "TG821" if code == "TG820" else code


def wait_for_models(
    client: ServerClient,
    models: Sequence[str],
    *,
    timeout: float,
    check_alive: Callable[[], None],
    read_log: Callable[[], str],
    progress: Progress | None = None,
) -> tuple[ModelStatus, ...]:
    """Polls until the server is live and every model is ready or has failed for good.

    Args:
        client: of the server that is starting.
        models: expected names.
        timeout: seconds.
        check_alive: raises when the server ended.
        read_log: the log so far.
        progress: told of the number of models that are ready.

    Raises:
        EnvironmentProblem: TG811 when time ran out; what `check_alive` raises.
    """
    begun = time.monotonic()
    deadline = begun + timeout
    statuses: tuple[ModelStatus, ...] = ()
    while True:
        check_alive()
        try:
            decided = client.live()
            if decided:
                statuses, decided = model_statuses(client, models, "")
            if decided and not all(status.ready for status in statuses):
                statuses, decided = model_statuses(client, models, read_log())
        except EnvironmentProblem as error:
            if error.code not in _NO_SERVER:
                raise
            decided = False
        if decided:
            return statuses
        if progress:
            progress("loading models", sum(status.ready for status in statuses), len(models))
        if time.monotonic() >= deadline:
            raise _too_late(timeout, models, statuses, read_log())
        waited = time.monotonic() - begun
        time.sleep(min(_MAX_POLL_S, max(_MIN_POLL_S, _LATE_SHARE * waited)))


def _too_late(
    timeout: float, models: Sequence[str], statuses: Sequence[ModelStatus], log: str
) -> EnvironmentProblem:
    waiting = [status.name for status in statuses if not status.ready] or list(models)
    shown = ", ".join(waiting[:5]) + (", …" if len(waiting) > 5 else "")
    return EnvironmentProblem(
        "TG811",
        f"after {timeout:g} s these models are not ready: {shown}"
        if shown
        else f"after {timeout:g} s the server does not answer",
        details=telling_lines(log, 10),
    )
