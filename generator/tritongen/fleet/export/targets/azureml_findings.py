"""What Azure ML refuses or limits of a deployment: names, counts, rates, times, thresholds.

What a managed online endpoint admits stands in `catalogue/azureml_limits.py`.
"""

import math
from collections.abc import Iterator

from tritongen.fleet.catalogue import azureml_limits
from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.fleet.export.targets.azureml_settings import (
    PROBE_PATIENCE_S,
    WINDOWS_ZONES,
    capacity_profiles,
    cpu_thresholds,
    folder_of,
    timeout_ms,
)
from tritongen.model.findings import Finding, Severity, finding

# Azure's own rule for the number of instances without a measured rate leaves 30 % idle.
_TARGET_USE = 0.7


def azureml_findings(deployment: Deployment) -> Iterator[Finding]:
    """Errors are what Azure refuses or what could never scale."""
    for service in deployment.services:
        folder = folder_of(service, deployment)
        if not azureml_limits.NAME.fullmatch(service.name):
            message = f"{service.name!r} must be 3 to 32 letters, digits and hyphens"
            yield _error("TG752", message, f"{folder}endpoint.yml", "name")
        for name in ("deployment.yml", "deployment-container.yml"):
            yield from _instances(f"{folder}{name}", service, deployment)
            yield from _requests(f"{folder}{name}", service)
            yield from _probes(f"{folder}{name}", service)
        yield from _autoscale(f"{folder}autoscale.json", service, deployment)


def _error(code: str, message: str, path: str, field: str = "") -> Finding:
    return finding(code, Severity.ERROR, message, path=path, field=field)


def _instances(path: str, service: Service, deployment: Deployment) -> Iterator[Finding]:
    count, most = service.replicas.least, azureml_limits.INSTANCES
    if not 1 <= count <= most:
        message = f"{count} instances; an endpoint takes 1 to {most}"
        yield _error("TG761", message, path, "instance_count")
        return
    least = min(one.replicas.least for one in deployment.services)
    if 1 < least <= count < azureml_limits.HIGH_AVAILABILITY:
        message = (
            f"{count} instances; Azure calls {azureml_limits.HIGH_AVAILABILITY} highly available"
        )
        yield finding("TG761", Severity.INFO, message, path=path, field="instance_count")


def _requests(path: str, service: Service) -> Iterator[Finding]:
    """Whether the goals fit the timeout, and the peak the endpoint and the most instances."""
    timeout = timeout_ms(service)
    if service.latency_ms is not None and timeout < service.latency_ms:
        message = f"requests end after {timeout} ms, the goal is {service.latency_ms:g} ms"
        yield _error("TG761", message, path, "request_settings.request_timeout_ms")
    peak = service.peak_rate
    if peak > azureml_limits.REQUESTS_PER_S:
        message = (
            f"{peak:g} requests/s at the peak; an endpoint takes {azureml_limits.REQUESTS_PER_S:g}"
        )
        yield _error("TG761", message, path)
    if service.rate_per_s:
        needed = math.ceil(peak / service.rate_per_s)
        how = f"of {service.rate_per_s:g} an instance"
    else:
        held_s = (service.latency_ms or 0.0) / 1000.0
        needed = math.ceil(peak * held_s / _TARGET_USE / service.concurrency)
        how = f"that take {held_s * 1000:g} ms"
    if needed > service.replicas.most:
        message = (
            f"{peak:g} requests/s {how} need {needed} instances, at most {service.replicas.most} "
            "are planned"
        )
        yield _error("TG761", message, path, "request_settings")


def _probes(path: str, service: Service) -> Iterator[Finding]:
    if service.replicas.start_up_s > PROBE_PATIENCE_S:
        for probe in ("liveness_probe", "readiness_probe"):
            message = f"{probe} gives up after {PROBE_PATIENCE_S} s, a start takes longer"
            yield _error("TG758", message, path, probe)


def _autoscale(path: str, service: Service, deployment: Deployment) -> Iterator[Finding]:
    weekly = any(
        one.replicas.weekend_least != one.replicas.weekday_least for one in deployment.services
    )
    if weekly and deployment.time_zone not in WINDOWS_ZONES:
        message = f"the week begins in UTC: autoscale has no name for {deployment.time_zone}"
        fix = "Write Windows' name of the time zone into the profiles."
        yield finding("TG762", Severity.WARNING, message, fix=fix, path=path, field="timeZone")
    most, bound = service.replicas.most, azureml_limits.INSTANCES
    vcpus = deployment.machine_vcpus
    reachable = min(100.0, 100.0 * service.total_threads / vcpus) if vcpus else 100.0
    above, below = cpu_thresholds(service, deployment)
    for title, _, least in capacity_profiles(service):
        where = f"profile {title}"
        if not 1 <= least <= most <= bound:
            message = f"{where}: {least} ≤ {least} ≤ {most} ≤ {bound} does not hold"
            yield _error("TG761", message, path, where)
        if below >= above:
            yield _error("TG759", f"{where} goes up and down at once", path, where)
        if above >= reachable:
            message = (
                f"{where} adds instances above {above} % CPU; the threads reach {reachable:.0f} %"
            )
            yield _error("TG759", message, path, where)
