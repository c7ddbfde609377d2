"""Rules for Azure ML that its own loader misses: sizes, limits, probes, autoscale rules."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from support.export_rules.rule_findings import finding
from tritongen.fleet.catalogue import (
    AZUREML_HIGH_AVAILABILITY,
    AZUREML_INSTANCES,
    AZUREML_NAME,
    AZUREML_REQUESTS_PER_S,
    AZUREML_TIMEOUT_S,
    azureml_offers,
)
from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.fleet.export.targets.azureml import WINDOWS_ZONES, by_endpoint
from tritongen.model.findings import Finding, Severity

__all__ = ["check_autoscale", "check_azureml"]

_TARGET_USE = 0.7
# Until a container that serves is told to be ready; chosen.
_READY_S = 5
_ROUTES = {"liveness_route": "/v2/health/live", "readiness_route": "/v2/health/ready"}


def _error(code: str, message: str, path: str, field: str = "") -> Finding:
    return finding(code, Severity.ERROR, message, path=path, field=field)


def check_azureml(
    path: str, document: Mapping[str, Any], deployment: Deployment
) -> Iterator[Finding]:
    """What an endpoint's or a deployment's file does wrong."""
    deployment = by_endpoint(deployment)
    known = {service.name: service for service in deployment.services}
    name = str(document.get("name"))
    if not AZUREML_NAME.fullmatch(name) or len(name) < 3:
        message = f"{name!r} must be 3 to 32 letters, digits and hyphens"
        yield _error("TG752", message, path, "name")
    if "endpoint_name" not in document:
        if document.get("auth_mode") not in {"key", "aml_token", "aad_token"}:
            yield _error("TG762", "the endpoint admits everyone", path, "auth_mode")
        return
    service = known.get(str(document.get("endpoint_name")))
    if service is None:
        message = f"the endpoint {document.get('endpoint_name')!r} is not of this export"
        yield _error("TG753", message, path, "endpoint_name")
        return
    yield from _machine(path, document, deployment)
    yield from _numbers(path, document, service)
    yield from _environment(path, document, service)
    if document.get("environment"):
        yield from _container(path, document)
    elif (document.get("model") or {}).get("type") != "triton_model":
        yield _error("TG762", "without code the model's type is triton_model", path, "model.type")


def _machine(path: str, document: Mapping[str, Any], deployment: Deployment) -> Iterator[Finding]:
    machine = str(document.get("instance_type"))
    if not azureml_offers(machine):
        message = f"Azure ML's managed endpoints do not offer {machine}"
        yield _error("TG760", message, path, "instance_type")
    count = document.get("instance_count")
    if not isinstance(count, int) or not 1 <= count <= AZUREML_INSTANCES:
        message = f"{count} instances; an endpoint takes 1 to {AZUREML_INSTANCES}"
        yield _error("TG761", message, path, "instance_count")
        return
    least = min(service.replicas.least for service in deployment.services)
    if 1 < least <= count < AZUREML_HIGH_AVAILABILITY:
        message = f"{count} instances; Azure calls {AZUREML_HIGH_AVAILABILITY} highly available"
        yield finding("TG761", Severity.INFO, message, path=path, field="instance_count")


def _numbers(path: str, document: Mapping[str, Any], service: Service) -> Iterator[Finding]:
    settings = document.get("request_settings") or {}
    timeout = settings.get("request_timeout_ms", 5000)
    if not 1 <= timeout <= AZUREML_TIMEOUT_S * 1000:
        message = f"a timeout of {timeout} ms; Azure admits up to {AZUREML_TIMEOUT_S:g} s"
        yield _error("TG761", message, path, "request_settings.request_timeout_ms")
    elif service.latency_ms is not None and timeout < service.latency_ms:
        message = f"requests end after {timeout} ms, the goal is {service.latency_ms:g} ms"
        yield _error("TG761", message, path, "request_settings.request_timeout_ms")
    at_a_time = settings.get("max_concurrent_requests_per_instance", 1)
    instances = sum(model.instances for model in service.models)
    if at_a_time < max(instances, service.concurrency):
        message = (
            f"{at_a_time} requests at a time for {instances} instances that serve "
            f"{service.concurrency}"
        )
        yield _error("TG763", message, path, "request_settings")
        return
    if service.peak_rate > AZUREML_REQUESTS_PER_S:
        message = (
            f"{service.peak_rate:g} requests/s at the peak; an endpoint takes "
            f"{AZUREML_REQUESTS_PER_S:g}"
        )
        fix = "Plan with `cloud: {platform: azureml}`, which divides them among endpoints."
        yield finding("TG761", Severity.ERROR, message, fix=fix, path=path)
    yield from _instances(path, service, at_a_time)


def _instances(path: str, service: Service, at_a_time: int) -> Iterator[Finding]:
    """Whether the peak fits the most instances: by the plan, else by Azure's rule for the goal."""
    most = service.replicas.most
    if service.rate_per_s:
        needed = math.ceil(service.peak_rate / service.rate_per_s)
        how = f"of {service.rate_per_s:g} an instance"
    else:
        held_s = (service.latency_ms or 0.0) / 1000.0
        needed = math.ceil(service.peak_rate * held_s / _TARGET_USE / at_a_time)
        how = f"that take {held_s * 1000:g} ms"
    if needed > most:
        message = (
            f"{service.peak_rate:g} requests/s {how} need {needed} instances, at most {most} are "
            "planned"
        )
        yield _error("TG761", message, path, "request_settings")


def _environment(path: str, document: Mapping[str, Any], service: Service) -> Iterator[Finding]:
    given = document.get("environment_variables") or {}
    if "WORKER_COUNT" in given:
        message = "WORKER_COUNT belongs to Azure's own inference server, Triton does not read it"
        yield _error("TG762", message, path, "environment_variables.WORKER_COUNT")
    for variable, value in service.container.environment:
        if str(given.get(variable)) != value:
            message = f"{variable}={given.get(variable)!r}, the repository was built for {value!r}"
            yield _error("TG764", message, path, f"environment_variables.{variable}")
    for kind in ("liveness_probe", "readiness_probe"):
        probe = document.get(kind) or {}
        if probe.get("timeout", 2) > probe.get("period", 10):
            yield _error("TG758", f"{kind} may take longer than its period", path, kind)
        first = probe.get("initial_delay", 10) + probe.get("period", 10)
        if kind == "readiness_probe" and first > _READY_S:
            yield _error("TG758", f"{kind} looks again only after {first} s", path, kind)
        patience = probe.get("initial_delay", 10) + probe.get("period", 10) * probe.get(
            "failure_threshold", 30
        )
        if patience < service.replicas.start_up_s:
            message = f"{kind} gives up after {patience} s, a start takes longer"
            yield _error("TG758", message, path, kind)


def _container(path: str, document: Mapping[str, Any]) -> Iterator[Finding]:
    mount = str(document.get("model_mount_path", "/var/azureml-app"))
    if not mount.startswith("/"):
        yield _error("TG756", f"model_mount_path {mount!r} is not absolute", path)
    routes = (document["environment"] or {}).get("inference_config") or {}
    for kind, wanted in _ROUTES.items():
        route = routes.get(kind) or {}
        if route.get("path") != wanted or route.get("port") != 8000:
            message = f"{kind} asks {route.get('path')} at port {route.get('port')}"
            yield _error("TG758", message, path, f"environment.inference_config.{kind}")
    if (routes.get("scoring_route") or {}).get("port") != 8000:
        message = "requests do not go to Triton's port 8000"
        yield _error("TG755", message, path, "environment.inference_config.scoring_route")


def check_autoscale(
    path: str, document: Mapping[str, Any], deployment: Deployment
) -> Iterator[Finding]:
    """What autoscale settings do wrong."""
    services = by_endpoint(deployment).services
    weekly = any(one.replicas.weekend_least != one.replicas.weekday_least for one in services)
    if weekly and deployment.time_zone not in WINDOWS_ZONES:
        message = f"the week begins in UTC: autoscale has no name for {deployment.time_zone}"
        fix = "Write Windows' name of the time zone into the profiles."
        yield finding("TG762", Severity.WARNING, message, fix=fix, path=path, field="timeZone")
    threads = {f"{one.name}-autoscale": one.total_threads for one in services}
    for resource in document.get("resources") or ():
        busy = threads.get(str(resource.get("name")))
        if busy is None:
            message = f"{resource.get('name')} scales nothing of this export"
            yield _error("TG753", message, path, "resources")
            continue
        reachable = _reachable(busy, deployment.machine_vcpus)
        for profile in (resource.get("properties") or {}).get("profiles") or ():
            where = f"profile {profile.get('name')}"
            yield from _capacity(path, where, profile.get("capacity") or {})
            yield from _rules(path, where, profile.get("rules") or (), reachable)


def _capacity(path: str, where: str, capacity: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        least, most, usual = (int(capacity[key]) for key in ("minimum", "maximum", "default"))
    except (KeyError, ValueError):
        yield _error("TG761", f"{where} lacks minimum, maximum or default", path, where)
        return
    if not 1 <= least <= usual <= most <= AZUREML_INSTANCES:
        message = f"{where}: {least} ≤ {usual} ≤ {most} ≤ {AZUREML_INSTANCES} does not hold"
        yield _error("TG761", message, path, where)


def _reachable(threads: int, vcpus: int | None) -> float:
    """Percent of a machine's virtual CPUs that so many threads keep busy."""
    return min(100.0, 100.0 * threads / vcpus) if vcpus else 100.0


def _rules(
    path: str,
    where: str,
    rules: Sequence[Mapping[str, Any]],
    reachable: float,
) -> Iterator[Finding]:
    thresholds: dict[str, float] = {}
    for rule in rules:
        trigger, action = rule.get("metricTrigger") or {}, rule.get("scaleAction") or {}
        direction = str(action.get("direction"))
        wanted = {"GreaterThan": "Increase", "LessThan": "Decrease"}.get(
            str(trigger.get("operator"))
        )
        if direction != wanted:
            message = (
                f"{where}: {direction} when CPU use is {trigger.get('operator')} the threshold"
            )
            yield _error("TG759", message, path, where)
        thresholds[direction] = float(trigger.get("threshold", 0))
    if set(thresholds) != {"Increase", "Decrease"}:
        yield _error("TG759", f"{where} cannot scale both ways", path, where)
        return
    if thresholds["Decrease"] >= thresholds["Increase"]:
        yield _error("TG759", f"{where} goes up and down at once", path, where)
    if thresholds["Increase"] >= reachable:
        message = (
            f"{where} adds instances above {thresholds['Increase']:g} % CPU; the threads reach "
            f"{reachable:.0f} %"
        )
        yield _error("TG759", message, path, where)
