"""Azure ML: managed online endpoints, without code and by container, with autoscaling.

`deployment.yml` is the one without code: Azure's own Triton serves the repository, and clients send
tensors only. `deployment-container.yml` runs the plan's image with the plan's flags. The number of
requests at a time comes from the plan, since Azure's default of 1 starves Triton. `autoscale.json`
has a profile for weekdays and one for the weekend; its CPU thresholds are shares of what the
service's threads can reach on the machine's virtual CPUs. A planned machine type that managed
endpoints do not offer is replaced by the cheapest that fits, and told.
"""

import shlex
from pathlib import PurePosixPath

from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.fleet.export.render_texts import ExportFile, render
from tritongen.fleet.export.targets.azureml_findings import azureml_findings
from tritongen.fleet.export.targets.azureml_settings import (
    WINDOWS_ZONES,
    capacity_profiles,
    cpu_thresholds,
    folder_of,
    timeout_ms,
)
from tritongen.fleet.export.targets.export_target import ExportTarget


def azureml_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """Everything for each service's endpoint; a folder each where there are several."""
    return tuple(file for one in deployment.services for file in _files(one, deployment))


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
    )


def _dockerfile(service: Service, deployment: Deployment) -> str:
    flags = [one for one in service.container.flags if not one.startswith("--model-repository")]
    values = {
        "service": service,
        "folder": PurePosixPath(deployment.repository).name,
        "arguments": [shlex.quote(flag) for flag in flags],
    }
    return render("azureml/Dockerfile.j2", values)


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


TARGET = ExportTarget(
    summary="Azure ML: managed online endpoint, deployments without code and by container",
    files=azureml_files,
    deploy=(
        "az ml online-endpoint create -f endpoint.yml",
        "az ml online-deployment create -f deployment.yml --all-traffic",
    ),
    findings=azureml_findings,
)
