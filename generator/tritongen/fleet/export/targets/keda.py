"""Kubernetes with KEDA: the same workload, scaled by Prometheus and by the week's schedule.

What `kubernetes` writes, with the overlay `autoscale-keda` on instead of `autoscale-hpa`: KEDA's
Prometheus trigger follows the same wait, and cron triggers the plan where it has more replicas at
some hours of the week than at others. `serverAddress` is that of the Prometheus Operator in the
namespace `monitoring`; a Prometheus that does not answer leaves the replicas as they are.

**Models**, **Update**, **Undo** and **Observe** are those of `kubernetes`. **Scale:** as above.
**Run:** not on a cluster with KEDA; its objects are held against KEDA's own schema.
"""

from collections.abc import Iterator

from tritongen.fleet.export.cluster import late_waits, whole_nodes
from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.export_target import ExportFile, ExportTarget
from tritongen.fleet.export.overlays import KEDA, cluster_files
from tritongen.model.findings import Finding


def keda_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """The files of Kubernetes, a ScaledObject in the HPA's place."""
    return cluster_files(deployment, KEDA)


def keda_findings(deployment: Deployment) -> Iterator[Finding]:
    """Errors are waits at which KEDA would add replicas too late for the goal."""
    yield from whole_nodes(deployment, "deployment.yaml", "Deployment")
    yield from late_waits(deployment, f"{KEDA}/scaledobject.yaml", "ScaledObject")


TARGET = ExportTarget(
    summary="Kubernetes with KEDA: the same, scaled by Prometheus and the week's schedule",
    files=keda_files,
    deploy=("kubectl apply -k .",),
    findings=keda_findings,
    copies=True,
)
