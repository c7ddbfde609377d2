"""Docker Compose: Triton with Prometheus and Grafana on one machine.

Everything listens on the loopback only, and what loads models, shares memory, traces or logs is
closed behind a key that each container draws at its start. Variables replace image, CPUs, ports and
the repository's place; on a machine with fewer CPUs than planned, set `TRITON_CPUS`. This export
lies in `compose/`.

**Models** are read from the repository's own folder, mounted read-only, or lie in the image with
`--image NAME`. **Update:** after another `tritongen build`, export again: the label with the
repository's digest makes Compose start a new container. One machine has one Triton, so that
requests of these seconds are lost; Swarm and Kubernetes lose none. **Language models:** what they
fetch from the hub, and engines that models build, lie on volumes that a restart finds again; the
variable `HF_TOKEN` is the hub's token. **Undo:** build and export the
older commit; with `--image` its image is still there. **Scale:** not at all. **Observe:** `docker
compose up --detach --wait` returns when every model is ready; Grafana is at http://127.0.0.1:3000,
Prometheus at http://127.0.0.1:9090, its alerts are of the goals' budgets.

**Run:** tests start it with the slim image, serve from it, and ask its Prometheus every rule and
panel.
"""

from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.export_target import ExportFile, ExportTarget, render
from tritongen.fleet.export.model_files import image_files
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
        *image_files(deployment),
        *monitoring_files(deployment, dns=False),
    )


TARGET = ExportTarget(
    summary="Docker Compose: Triton with Prometheus and Grafana on one machine",
    files=compose_files,
    deploy=("docker compose up --detach --wait",),
)
