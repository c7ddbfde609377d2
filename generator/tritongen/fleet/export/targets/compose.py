"""Docker Compose: Triton with Prometheus and Grafana on one machine.

Everything listens on the loopback only, and what loads models, shares memory, traces or logs is
closed behind a key that each container draws at its start. `docker compose up --detach --wait`
returns when every model is ready; Grafana is at http://127.0.0.1:3000, Prometheus at
http://127.0.0.1:9090. After another `tritongen build`, export again: the label with the
repository's digest makes Compose start a new container. Variables replace image, CPUs, ports and
the repository's place; on a machine with fewer CPUs than planned, set `TRITON_CPUS`. This export
lies in `compose/`.
"""

from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.export_target import ExportFile, ExportTarget, render
from tritongen.fleet.export.monitoring import GRAFANA_IMAGE, PROMETHEUS_IMAGE, monitoring_files


def stack_values(deployment: Deployment) -> dict[str, object]:
    """What the templates of Docker's engines know, with the prefix of each service's variables."""
    names = [service.name for service in deployment.services]
    prefixes = {name: name.upper().replace("-", "_") for name in names}
    # Compose takes a path without a dot for a volume's name.
    path = deployment.repository
    return {
        "name": deployment.name,
        "services": deployment.services,
        "repository": path if path.startswith(("/", "./", "../")) else f"./{path}",
        "digest": deployment.digest,
        "variables": prefixes if len(names) > 1 else {names[0]: "TRITON"},
        "prometheus_image": PROMETHEUS_IMAGE,
        "grafana_image": GRAFANA_IMAGE,
    }


def compose_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """Everything that `docker compose up` needs beside the repository."""
    return (
        ExportFile("compose.yaml", render("compose/compose.yaml.j2", stack_values(deployment))),
        *monitoring_files(deployment, dns=False),
    )


TARGET = ExportTarget(
    summary="Docker Compose: Triton with Prometheus and Grafana on one machine",
    files=compose_files,
    deploy=("docker compose up --detach --wait",),
)
