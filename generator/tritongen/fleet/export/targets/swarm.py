"""Docker Swarm: a stack of replicas behind the ingress ports, and its monitoring.

A client that keeps its connection open would stay with a replica that is about to stop, so the
stack has a gateway (HAProxy) that balances requests. It knows the replicas by Swarm's own names,
which hold a replica once it is healthy and forget it two seconds before it is told to end; it then
serves for five more, for a gateway that is late. The gateway sends a request that was not answered
to another replica, and lets health, descriptions, statistics and requests through, over HTTP and
gRPC alike, and nothing else. Requests above 128 KiB are not sent again. Each replica closes the
rest behind a key of its own, too, which it draws at its start.

**Models:** configurations are Swarm configs with their digest in the name; weights are read from
`MODEL_REPOSITORY`, under the same path on every node. With `--image NAME` the image holds both, and
every node finds it in a registry. What language models fetch from the hub, and engines that models
build, lie on volumes of each node; `HF_TOKEN` is the hub's token, and a node with GPUs must offer
them as `NVIDIA-GPU`. **Update:** `docker stack deploy` with another build starts new
replicas first, waits for their health and stops the old ones; a failed update is rolled back.
**Undo:** `docker service rollback` serves the configurations that were served before, and with
`--image` the weights, too. **Scale:** Swarm has no autoscaler: as many replicas as the planned peak
needs, or `docker service scale`. A gRPC stream that is kept for many requests stays with its
replica and is refused once that ends: open another, and send that request again.

**Observe:** `docker stack deploy -c stack.yaml -c monitoring.yaml NAME` adds Prometheus, which only
the stack reaches, and Grafana, whose password is a secret of Swarm's that you make first.
`probe.yaml` is a stack of its own that measures from inside: a job of two probes or more that begin
at the same moment, each with a part of the planned load, whose results `tritongen probe --merge`
makes one of. Language models are left to AIPerf, which measures their tokens.

Swarm publishes on every address of every node, and its ingress network needs IPVS in the kernel.
Where that is missing, `PUBLISH_MODE=host GATEWAY_ORDER=stop-first` publishes on the gateway's node.

**Run:** a test sends 10,000 requests (HTTP that keeps its connections, HTTP with a connection each,
gRPC, gRPC with a stream each) through scaling out and in, an update and its undoing, on one node,
and loses none; when a replica is killed, another admits three failures. On two nodes (two engines
of one machine) updates that move replicas from one to the other lose none. Of a node that vanishes,
what is under way there gets no answer: 2 of 1,810 requests over HTTP and 2 of 1,809 over gRPC, at
30 a second each. The gateway waits 5 minutes for them, so give clients a limit of their own. When
it comes back, Swarm ends the replicas that it still runs, which cost 4 of 1,810 requests once.
"""

import hashlib
import re
from dataclasses import replace

from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.export_target import ExportFile, ExportTarget, render
from tritongen.fleet.export.load_test import PROBES, probe_loads
from tritongen.fleet.export.model_files import image_files
from tritongen.fleet.export.monitoring import monitoring_files
from tritongen.fleet.export.targets.compose import stack_values

GATEWAY_IMAGE = "haproxy:3.2"
# Beside the two seconds between Swarm's forgetting a replica and its end.
_LINGER_S = 5
_MONITORING_KEYS = ("prometheus", "rules", "datasource", "provider", "dashboard")


def swarm_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """A stack for Triton, one for Prometheus and Grafana, and what they mount."""
    watched = monitoring_files(deployment, dns=True)
    loads = probe_loads(deployment.services)
    gateway = render("swarm/haproxy.cfg.j2", {"services": deployment.services})
    lingering = replace(
        deployment,
        services=tuple(
            replace(one, container=replace(one.container, linger_s=_LINGER_S))
            for one in deployment.services
        ),
    )
    values = stack_values(lingering) | {
        "gateway_image": GATEWAY_IMAGE,
        "gateway_digest": hashlib.sha256(gateway.encode()).hexdigest(),
        "config_keys": _config_keys(deployment),
        "loads": loads,
        "probes": PROBES,
        # Swarm's configs never change: a new content needs a new name.
        "files": [
            (key, file.path, hashlib.sha256(file.text.encode()).hexdigest())
            for key, file in zip(_MONITORING_KEYS, watched, strict=True)
        ],
    }
    probes = (ExportFile("probe.yaml", render("swarm/probe.yaml.j2", values)),) if loads else ()
    return (
        ExportFile("stack.yaml", render("swarm/stack.yaml.j2", values)),
        ExportFile("haproxy.cfg", gateway),
        *image_files(deployment),
        ExportFile("monitoring.yaml", render("swarm/monitoring.yaml.j2", values)),
        *probes,
        *watched,
    )


def _config_keys(deployment: Deployment) -> dict[str, str]:
    """A name of Swarm's for each model's configuration: letters, digits and hyphens."""
    keys: dict[str, str] = {"": "gateway"}
    for service in deployment.services:
        for model in service.models:
            stem = re.sub(r"[^a-z0-9]+", "-", model.name.lower()).strip("-")[:24] or "model"
            taken = set(keys.values())
            number = next(n for n in range(1, 10_000) if _numbered(stem, n) not in taken)
            keys[model.name] = _numbered(stem, number)
    return keys


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"


TARGET = ExportTarget(
    summary="Docker Swarm: replicas behind the ingress ports, updated without an interruption",
    files=swarm_files,
    deploy=("docker stack deploy -c stack.yaml NAME",),
)
