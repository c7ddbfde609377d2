"""Kubernetes: Deployments with Services and disruption budgets, scaled by an HPA.

**Models:** each build lies in a folder of its own in the claim `NAME-models`; the Job of claim.yaml
takes it from the stream that the export names, and only a complete copy gets its name. With
`--image NAME` the image holds the models, for which the stream builds it; its tag is the
repository's digest. With `s3://`, `gs://` or `as://` Triton reads them by itself, with the rights
of the service account or with the keys of the secret `NAME-storage`. An init step holds what it
finds against SHA256SUMS and refuses another repository (an object store is not checked: put
`DIGEST` into its path). What language models fetch from the hub, and engines that models build, lie
in the claim `NAME-cache`, and a first start has an hour for it; the hub's token is the key `token`
of the secret `NAME-hub`.

**Update:** another build is another pod, and a rolling update without a gap: preStop gives
the Service ten seconds to forget the pod, Triton sends gRPC clients to a new connection every
three, finishes its requests, and the grace period covers all of it. A gRPC stream that lasts longer
than 33 s is ended. Triton has no such switch for HTTP: clients that keep their connections see 1 to
8 resets in each update, measured on Kubernetes 1.34, and none that open a connection for each
request; the overlay `gateway` balances requests instead. **Undo:** `kubectl rollout undo`
serves what it served before, as long as its folder or image is there.

**Scale:** the HPA follows the mean wait of a request for a free instance, of the model that waits
longest; values for prometheus-adapter that make the metric lie beside it. The overlay
`autoscale-keda` asks Prometheus by itself. A fixed number of replicas has no autoscaler. Requests
equal limits in whole cores, so that a node with the static CPU manager gives the threads cores of
their own. With one replica, a drain takes the service until the next pod serves.

**Observe:** the overlay `monitoring` needs the Prometheus Operator: it scrapes every 15 s, records
and alerts as Compose and Swarm do, and gives Grafana's sidecar the dashboard. Without it Prometheus
finds the pods by their annotations. `probe/job.yaml` measures from inside: two probes that begin at
the same moment, each with half of the planned load, whose results `tritongen probe --merge` makes
one of; its first lines say how. Language models are left to AIPerf, which measures their tokens.

Each container draws a key of its own at its start, for the APIs that nobody shall use: shared
memory, the model repository (its index, loading, unloading), traces and logging. networkpolicy.yaml
opens the metrics to Prometheus in the namespace `monitoring` alone; it takes a network that
enforces policies, such as Calico or Cilium. The overlay `cpu` or `gpu` places pods on the planned
machine type.

**Run:** an earlier version on Kubernetes 1.34, whose faults are mended; of these files the pods, in
Docker, ended as a kubelet does. The rest is held against the schemas.
"""

from collections.abc import Iterator

from tritongen.fleet.export.cluster import late_waits, whole_nodes
from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.export_target import ExportFile, ExportTarget
from tritongen.fleet.export.overlays import HPA, cluster_files
from tritongen.model.findings import Finding


def kubernetes_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """Deployments, an HPA on the time in the queue, and the metric that it needs."""
    return cluster_files(deployment, HPA)


def kubernetes_findings(deployment: Deployment) -> Iterator[Finding]:
    """Errors are waits at which the HPA would add replicas too late for the goal."""
    yield from whole_nodes(deployment, "deployment.yaml", "Deployment")
    yield from late_waits(deployment, f"{HPA}/hpa.yaml", "HorizontalPodAutoscaler")


TARGET = ExportTarget(
    summary="Kubernetes: Deployment, Service, PodDisruptionBudget, HPA on the time in the queue",
    files=kubernetes_files,
    deploy=("kubectl apply -k .",),
    findings=kubernetes_findings,
    copies=True,
)
