"""Every target of `tritongen export`: what renders it and what its files must obey."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tritongen.fleet.export.azureml import azureml_files
from tritongen.fleet.export.compose import compose_files
from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.kserve import kserve_files
from tritongen.fleet.export.kubernetes import keda_files, kubernetes_files
from tritongen.fleet.export.render_texts import ExportFile
from tritongen.fleet.export.swarm import swarm_files

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Attributes:
        summary: what it is, for people.
        files: renders everything.
        deploy: commands that bring it up, run in the folder that was written.
    """

    summary: str
    files: Callable[[Deployment], tuple[ExportFile, ...]]
    deploy: tuple[str, ...]


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "compose": Target(
            "Docker Compose: Triton with Prometheus and Grafana on one machine",
            compose_files,
            ("docker compose up --detach --wait",),
        ),
        "swarm": Target(
            "Docker Swarm: replicas behind the ingress ports, updated without an interruption",
            swarm_files,
            ("docker stack deploy -c stack.yaml NAME",),
        ),
        "kubernetes": Target(
            "Kubernetes: Deployment, Service, PodDisruptionBudget, HPA on the time in the queue",
            kubernetes_files,
            ("kubectl apply -k .",),
        ),
        "kserve": Target(
            "KServe: an InferenceService on its Triton runtime",
            kserve_files,
            ("kubectl apply -f inferenceservice.yaml",),
        ),
        "keda": Target(
            "Kubernetes with KEDA: the same, scaled by Prometheus and the week's schedule",
            keda_files,
            ("kubectl apply -k .",),
        ),
        "azureml": Target(
            "Azure ML: managed online endpoint, deployments without code and by container",
            azureml_files,
            (
                "az ml online-endpoint create -f endpoint.yml",
                "az ml online-deployment create -f deployment.yml --all-traffic",
            ),
        ),
    }
)
