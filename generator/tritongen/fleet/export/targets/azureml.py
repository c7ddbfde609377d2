"""Azure ML: managed online endpoints, without code and by container, with autoscaling.

`deployment.yml` is the one without code: Azure's own Triton serves the repository, and clients send
tensors only; whoever holds the endpoint's key reaches its control calls, too.
`deployment-container.yml` runs the plan's image with the plan's flags as a user without rights, and
closes these calls behind a key that each container draws at its start. The number of requests at a
time comes from the plan, since Azure's default of 1 starves Triton. A planned machine type that
managed endpoints do not offer is replaced by the cheapest that fits, and told.

**Models** are registered with the deployment; another repository is another version. **Update:**
`sh canary.sh begin` deploys the build beside the one that serves, under its digest, and sends it
10 % of the requests; `finish` sends all of them. **Undo:** `sh canary.sh back`, at once and as long
as the old deployment is there; `clean` deletes the one without requests. **Scale:**
`autoscale.json` has a profile for weekdays and one for the weekend; its CPU thresholds are shares
of what the service's threads can reach on the machine's virtual CPUs. An endpoint admits 500
requests a second, 5 MB/s and 50 instances: beyond one of them a plan with `platform: azureml`
divides a service among several endpoints, and says which limit binds; each has a folder, and
clients give each an equal part. **Observe:** `tritongen probe -u https://ENDPOINT…` measures what
is deployed, one deployment of several with `--header 'azureml-model-deployment: NAME'`; Azure's own
metrics show the CPUs.

**Run:** nothing of this on Azure: files are held against azure-ai-ml's loader, the container is
built and run here, and `canary.sh` is run against a stand-in of `az`.
"""

import math
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from tritongen.fleet.catalogue import (
    AZUREML_HIGH_AVAILABILITY,
    AZUREML_INSTANCES,
    AZUREML_NAME,
    AZUREML_REQUESTS_PER_S,
    AZUREML_TIMEOUT_S,
)
from tritongen.fleet.export.deployment import CLOSING_FLAGS, Deployment, Service
from tritongen.fleet.export.export_target import ExportFile, ExportTarget, render
from tritongen.fleet.export.model_files import short
from tritongen.model.findings import Finding, Severity, finding

# Percent of what the service's threads can use, for five minutes; chosen: up soon, down late.
_OUT_PERCENT, _IN_PERCENT = 70, 25
# Azure's default of a request's time; what it admits at most stands with its other limits.
_MIN_TIMEOUT_MS = 5_000
# initial_delay + period × failure_threshold of the probes in deployment.yml.j2, seconds.
PROBE_PATIENCE_S = 310
# Autoscale knows Windows' names only.
WINDOWS_ZONES = {
    "UTC": "UTC",
    "Etc/UTC": "UTC",
    "Europe/London": "GMT Standard Time",
    "Europe/Berlin": "W. Europe Standard Time",
    "Europe/Paris": "Romance Standard Time",
    "Europe/Warsaw": "Central European Standard Time",
    "Europe/Kyiv": "FLE Standard Time",
    "America/New_York": "Eastern Standard Time",
    "America/Chicago": "Central Standard Time",
    "America/Los_Angeles": "Pacific Standard Time",
    "Asia/Kolkata": "India Standard Time",
    "Asia/Shanghai": "China Standard Time",
    "Asia/Tokyo": "Tokyo Standard Time",
    "Australia/Sydney": "AUS Eastern Standard Time",
}
# Of the requests, that a new build gets at first. Chosen: enough to see failures, few to lose.
_CANARY_PERCENT = 10
# Azure's own rule for the number of instances without a measured rate leaves 30 % idle.
_TARGET_USE = 0.7


def azureml_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """Everything for each endpoint; a folder each where there are several."""
    divided = by_endpoint(deployment)
    return tuple(file for one in divided.services for file in _files(one, divided))


def by_endpoint(deployment: Deployment) -> Deployment:
    """The same with a service for each endpoint, which has its part of rates and replicas."""
    services = tuple(part for one in deployment.services for part in _parts(one))
    return replace(deployment, services=services)


def _parts(service: Service) -> Iterator[Service]:
    count = service.endpoints
    if count == 1:
        yield service
        return
    models = tuple(
        replace(one, peak_rate=None if one.peak_rate is None else one.peak_rate / count)
        for one in service.models
    )
    whole = service.replicas
    replicas = replace(
        whole,
        least=-(-whole.least // count),
        most=-(-whole.most // count),
        hourly=tuple(-(-one // count) for one in whole.hourly),
    )
    for number in range(1, count + 1):
        name = f"{service.name}-{number}"
        yield replace(service, name=name, models=models, replicas=replicas, endpoints=1)


def _files(service: Service, deployment: Deployment) -> tuple[ExportFile, ...]:
    folder = folder_of(service, deployment)
    up = "../" if folder else ""
    repository = f"{up}{deployment.repository}"
    values = {
        "service": service,
        # Another repository is another version; older workspaces take numbers only.
        "version": str(int(deployment.digest[:7], 16)),
        "machine": deployment.machine,
        "repository": repository if repository.startswith("../") else f"./{repository}",
        "timeout_ms": timeout_ms(service),
    }
    plain = render("azureml/deployment.yml.j2", {**values, "container": False})
    container = render("azureml/deployment.yml.j2", {**values, "container": True})
    return (
        ExportFile(f"{folder}endpoint.yml", render("azureml/endpoint.yml.j2", values)),
        ExportFile(f"{folder}deployment.yml", plain),
        ExportFile(f"{folder}deployment-container.yml", container),
        ExportFile(f"{folder}container/Dockerfile", _dockerfile(service, deployment)),
        ExportFile(f"{folder}autoscale.json", _autoscale(service, deployment)),
        ExportFile(f"{folder}canary.sh", _canary(service, deployment)),
    )


def _dockerfile(service: Service, deployment: Deployment) -> str:
    box = service.container
    flags = [one for one in box.arguments if not one.startswith("--model-repository")]
    values = {
        "service": service,
        "folder": PurePosixPath(deployment.repository).name,
        "prepared": box.prepared,
        "arguments": [*CLOSING_FLAGS, *map(shlex.quote, flags)],
    }
    return render("azureml/Dockerfile.j2", values)


def _canary(service: Service, deployment: Deployment) -> str:
    values = {
        "endpoint": shlex.quote(service.name),
        # A deployment's name is of letters, digits and hyphens, 3 to 32 of them.
        "deployment": f"build-{short(deployment.digest)}",
        "percent": _CANARY_PERCENT,
    }
    return render("azureml/canary.sh.j2", values)


def _autoscale(service: Service, deployment: Deployment) -> str:
    above, below = cpu_thresholds(service, deployment)
    values = {
        "service": service,
        "comment": "Written by `tritongen export azureml`. Deploy it with `az deployment group "
        "create -f autoscale.json -p deployment=<resource id>`.",
        "time_zone": WINDOWS_ZONES.get(deployment.time_zone, "UTC"),
        "profiles": capacity_profiles(service),
        "out_percent": above,
        "in_percent": below,
    }
    return render("azureml/autoscale.json.j2", values)


def folder_of(service: Service, deployment: Deployment) -> str:
    """The folder of a service's files, with a slash; empty where the service is the only one."""
    return f"{service.name}/" if len(deployment.services) > 1 else ""


def _folders(deployment: Deployment) -> tuple[str, ...]:
    divided = by_endpoint(deployment)
    return tuple(folder_of(one, divided) for one in divided.services)


def timeout_ms(service: Service) -> int:
    """Ten times the loosest goal, within what Azure admits."""
    goals = [model.latency_ms for model in service.models if model.latency_ms is not None]
    wanted = max(_MIN_TIMEOUT_MS, 10 * max(goals, default=0.0))
    return int(min(AZUREML_TIMEOUT_S * 1000, wanted))


def capacity_profiles(service: Service) -> tuple[tuple[str, str, int], ...]:
    """(title, day on which it begins, instances at least) of the autoscaler's profiles."""
    replicas = service.replicas
    return (
        ("Default", "", replicas.least),
        ("Weekdays", "Monday", replicas.weekday_least),
        ("Weekend", "Saturday", replicas.weekend_least),
    )


def cpu_thresholds(service: Service, deployment: Deployment) -> tuple[int, int]:
    """Percent of a machine's CPUs above which an instance is added, and below which one goes.

    They are shares of the virtual CPUs that the service's threads can keep busy.
    """
    share, vcpus = 1.0, deployment.machine_vcpus
    if vcpus is not None and service.total_threads:
        threads = min(service.total_threads, service.container.cores or service.total_threads)
        share = min(1.0, threads / vcpus)
    return max(1, round(_OUT_PERCENT * share)), max(1, round(_IN_PERCENT * share))


def azureml_findings(deployment: Deployment) -> Iterator[Finding]:
    """Errors are what Azure refuses or what could never scale."""
    if deployment.base_image:
        message = "Azure ML mounts a registered model, and builds container/Dockerfile itself"
        fix = "Name Triton's image with its tag or digest: --image NAME:TAG."
        yield finding("TG762", Severity.ERROR, message, fix=fix, path="deployment-container.yml")
    divided = by_endpoint(deployment)
    for service in divided.services:
        folder = folder_of(service, divided)
        if not AZUREML_NAME.fullmatch(service.name):
            message = f"{service.name!r} must be 3 to 32 letters, digits and hyphens"
            yield _error("TG752", message, f"{folder}endpoint.yml", "name")
        for name in ("deployment.yml", "deployment-container.yml"):
            yield from _instances(f"{folder}{name}", service, divided)
            yield from _requests(f"{folder}{name}", service)
            yield from _probes(f"{folder}{name}", service)
        yield from _autoscale_findings(f"{folder}autoscale.json", service, divided)


def _error(code: str, message: str, path: str, field: str = "") -> Finding:
    return finding(code, Severity.ERROR, message, path=path, field=field)


def _instances(path: str, service: Service, deployment: Deployment) -> Iterator[Finding]:
    count, most = service.replicas.least, AZUREML_INSTANCES
    if not 1 <= count <= most:
        message = f"{count} instances; an endpoint takes 1 to {most}"
        yield _error("TG761", message, path, "instance_count")
        return
    least = min(one.replicas.least for one in deployment.services)
    if 1 < least <= count < AZUREML_HIGH_AVAILABILITY:
        message = f"{count} instances; Azure calls {AZUREML_HIGH_AVAILABILITY} highly available"
        yield finding("TG761", Severity.INFO, message, path=path, field="instance_count")


def _requests(path: str, service: Service) -> Iterator[Finding]:
    """Whether the goals fit the timeout, and the peak the endpoint and the most instances."""
    timeout = timeout_ms(service)
    if service.latency_ms is not None and timeout < service.latency_ms:
        message = f"requests end after {timeout} ms, the goal is {service.latency_ms:g} ms"
        yield _error("TG761", message, path, "request_settings.request_timeout_ms")
    peak = service.peak_rate
    if peak > AZUREML_REQUESTS_PER_S:
        message = f"{peak:g} requests/s at the peak; an endpoint takes {AZUREML_REQUESTS_PER_S:g}"
        fix = "Plan with `cloud: {platform: azureml}`, which divides them among endpoints."
        yield finding("TG761", Severity.ERROR, message, fix=fix, path=path)
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


def _autoscale_findings(path: str, service: Service, deployment: Deployment) -> Iterator[Finding]:
    weekly = any(
        one.replicas.weekend_least != one.replicas.weekday_least for one in deployment.services
    )
    if weekly and deployment.time_zone not in WINDOWS_ZONES:
        message = f"the week begins in UTC: autoscale has no name for {deployment.time_zone}"
        fix = "Write Windows' name of the time zone into the profiles."
        yield finding("TG762", Severity.WARNING, message, fix=fix, path=path, field="timeZone")
    most, bound = service.replicas.most, AZUREML_INSTANCES
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


TARGET = ExportTarget(
    summary="Azure ML: managed online endpoint, deployments without code and by container",
    files=azureml_files,
    deploy=(
        "az ml online-endpoint create -f FOLDER/endpoint.yml",
        "az ml online-deployment create -f FOLDER/deployment.yml --all-traffic",
    ),
    findings=azureml_findings,
    folders=_folders,
)
