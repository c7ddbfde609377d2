"""Docker Compose: Triton with Prometheus and Grafana on one machine.

Everything listens on the loopback only. `docker compose up --detach --wait` returns when every
model is ready; Grafana is at http://127.0.0.1:3000, Prometheus at http://127.0.0.1:9090. After
another `tritongen build`, export again: the label with the repository's digest makes Compose start
a new container. Variables replace image, CPUs, ports and the repository's place; on a machine with
fewer CPUs than planned, set `TRITON_CPUS`. This export lies in [`compose/`](../compose).
"""

from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.export_target import ExportFile, ExportTarget, render
from tritongen.fleet.export.monitoring import GRAFANA_IMAGE, PROMETHEUS_IMAGE, monitoring_files


def variables(deployment: Deployment) -> dict[str, str]:
    """Prefix of each service's variables, by the service's name."""
    if len(deployment.services) == 1:
        return {deployment.services[0].name: "TRITON"}
    return {item.name: item.name.upper().replace("-", "_") for item in deployment.services}


def compose_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """Everything that `docker compose up` needs beside the repository."""
    prefixes = variables(deployment)
    values = {
        "name": deployment.name,
        "services": deployment.services,
        "repository": path_text(deployment.repository),
        "digest": deployment.digest,
        "variables": prefixes,
        "prefix": prefixes[deployment.services[0].name],
        "prometheus_image": PROMETHEUS_IMAGE,
        "grafana_image": GRAFANA_IMAGE,
    }
    return (
        ExportFile("compose.yaml", render("compose/compose.yaml.j2", values)),
        *monitoring_files(deployment, dns=False),
    )


def path_text(path: str) -> str:
    """A relative path that Compose does not take for a volume's name."""
    return path if path.startswith(("/", "./", "../")) else f"./{path}"


TARGET = ExportTarget(
    summary="Docker Compose: Triton with Prometheus and Grafana on one machine",
    files=compose_files,
    deploy=("docker compose up --detach --wait",),
)
