"""Rules for Compose files and Swarm stacks."""

from collections.abc import Iterator, Mapping
from typing import Any

from support.export_rules.quantities import cpus_of, default_of, quantity, seconds_of
from support.export_rules.rule_findings import finding
from support.export_rules.server import check_server
from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.model.findings import Finding, Severity

__all__ = ["check_engine"]

# Triton waits so long for requests in flight.
_TRITON_GRACE_S = 30


def check_engine(
    path: str, document: Mapping[str, Any], deployment: Deployment
) -> Iterator[Finding]:
    """What a Compose file or a stack does wrong."""
    known = {service.name: service for service in deployment.services}
    volumes = set(document.get("volumes") or {})
    for name, entry in document["services"].items():
        where = f"services.{name}"
        yield from _volumes(path, where, entry, volumes)
        yield from _update(path, where, entry.get("deploy") or {})
        if name in known:
            yield from _server(path, where, entry, known[name])
            yield from _owned(path, where, entry, document["services"], known[name])


def _error(code: str, message: str, path: str, field: str) -> Finding:
    return finding(code, Severity.ERROR, message, path=path, field=field)


def _server(path: str, where: str, entry: Mapping[str, Any], service: Service) -> Iterator[Finding]:
    limits = ((entry.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    cpus = cpus_of(entry.get("cpus", limits.get("cpus", "")))
    # Compose writes `$` twice where no variable is meant.
    environment = {
        str(name): str(value).replace("$$", "$")
        for name, value in (entry.get("environment") or {}).items()
    }
    shared = quantity(entry.get("shm_size"))
    for mount in entry.get("volumes") or ():
        if isinstance(mount, dict) and mount.get("target") == "/dev/shm":  # noqa: S108  (inside the container)
            shared = quantity((mount.get("tmpfs") or {}).get("size"))
    command = [*(entry.get("entrypoint") or ()), *(entry.get("command") or ())]
    yield from check_server(
        path,
        where,
        service,
        cpus=cpus,
        environment=environment,
        shared_bytes=shared,
        command=command,
        gpus=_gpus(entry),
        kept=_kept(entry),
    )
    ulimits = {name: int(size) for name, size in (entry.get("ulimits") or {}).items()}
    if ulimits != dict(service.container.ulimits):
        message = f"{where} runs under {ulimits}, the server under {service.container.ulimits}"
        yield _error("TG764", message, path, f"{where}.ulimits")
    grace = seconds_of(entry.get("stop_grace_period", ""))
    if grace is None or grace <= _TRITON_GRACE_S:
        message = f"{where} is killed before Triton's {_TRITON_GRACE_S} s for requests in flight"
        yield _error("TG766", message, path, f"{where}.stop_grace_period")
    yield from _health(path, f"{where}.healthcheck", entry.get("healthcheck") or {})
    if not service.container.holds_models and not any(
        _read_only_models(mount) for mount in entry.get("volumes") or ()
    ):
        message = f"{where} does not mount the repository read-only at /models"
        yield _error("TG756", message, path, f"{where}.volumes")


def _gpus(entry: Mapping[str, Any]) -> float:
    """That Compose or Swarm gives a service."""
    resources = (entry.get("deploy") or {}).get("resources") or {}
    asked = resources.get("reservations") or {}
    devices = [
        device["count"]
        for device in asked.get("devices") or ()
        if device.get("driver") == "nvidia" and device.get("capabilities") == ["gpu"]
    ]
    kinds = [one["discrete_resource_spec"] for one in asked.get("generic_resources") or ()]
    devices += [kind["value"] for kind in kinds if kind.get("kind") == "NVIDIA-GPU"]
    return float(sum(devices))


def _kept(entry: Mapping[str, Any]) -> set[str]:
    """Folders of a service that outlive its containers."""
    mounts = [one for one in entry.get("volumes") or () if isinstance(one, dict)]
    return {str(one.get("target")) for one in mounts if one.get("type") == "volume"}


def _owned(
    path: str,
    where: str,
    entry: Mapping[str, Any],
    services: Mapping[str, Mapping[str, Any]],
    service: Service,
) -> Iterator[Finding]:
    """Whether the server's user may write to its volumes, which an engine makes root's."""
    kept = _kept(entry)
    owner = ["chown", service.container.user]
    given = {
        str(folder)
        for one in services.values()
        if list(one.get("entrypoint") or ())[:2] == owner and "CHOWN" in one.get("cap_add", ())
        for folder in one["entrypoint"][2:]
        if folder in _kept(one)
    }
    if kept - given:
        message = f"{where} may not write to {', '.join(sorted(kept - given))}"
        yield _error("TG756", message, path, f"{where}.volumes")


def _read_only_models(mount: object) -> bool:
    return (
        isinstance(mount, dict)
        and mount.get("target") == "/models"
        and mount.get("read_only") is True
    )


def _health(path: str, where: str, check: Mapping[str, Any]) -> Iterator[Finding]:
    words = " ".join(str(word) for word in check.get("test") or ())
    if "8000" not in words or "/v2/health/" not in words:
        yield _error("TG758", f"{where} does not ask Triton's health at port 8000", path, where)
    interval, timeout = seconds_of(check.get("interval", "")), seconds_of(check.get("timeout", ""))
    if interval and timeout and timeout > interval:
        message = f"{where} may take {timeout:g} s and is repeated every {interval:g} s"
        yield _error("TG758", message, path, where)
    if (seconds_of(check.get("start_period", "")) or 0) < 60:
        message = f"{where} gives models less than a minute to load"
        yield finding("TG758", Severity.WARNING, message, path=path, field=where)


def _volumes(
    path: str, where: str, entry: Mapping[str, Any], declared: set[str]
) -> Iterator[Finding]:
    for mount in entry.get("volumes") or ():
        if not isinstance(mount, dict) or mount.get("type") != "volume":
            continue
        if mount.get("source") not in declared:
            message = f"{where} mounts the volume {mount.get('source')!r}, which is not declared"
            yield _error("TG756", message, path, f"{where}.volumes")


def _update(path: str, where: str, deploy: Mapping[str, Any]) -> Iterator[Finding]:
    if "update_config" not in deploy:
        return
    update = deploy["update_config"] or {}
    if default_of(update.get("order")) != "start-first":
        message = f"{where} stops a replica before the new one serves"
        yield _error("TG766", message, path, f"{where}.deploy.update_config.order")
    replicas = cpus_of(deploy.get("replicas", 1))
    if replicas is None or replicas < 1:
        yield _error("TG761", f"{where} has no replicas", path, f"{where}.deploy.replicas")
        return
    parallel = int(update.get("parallelism", 1))
    if parallel == 0 or (parallel >= replicas > 1):
        message = f"{where} replaces all {replicas:g} replicas at once"
        yield _error("TG766", message, path, f"{where}.deploy.update_config.parallelism")
