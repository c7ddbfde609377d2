"""Writes docs/export.md from what `tritongen export` makes of the demo; `--check` compares instead.

Digests are left out of the page, so that a new model file alone does not change it.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tritongen.fleet.export.deployment_from_repository import DeploymentOptions
from tritongen.fleet.export.export_files import ExportMode, ExportRequest, export
from tritongen.fleet.export.targets import TARGETS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "export.md"

INTRO = """\
# Deployment files

Generated from the demo's repository by `python scripts/export_page.py`; a test holds it against
what `tritongen export` writes.

```console
$ tritongen build ./models
$ tritongen plan ./models                     # optional: machines, replicas, schedule
$ tritongen export compose -o compose         # or swarm, kubernetes, kserve, keda, azureml
$ tritongen export compose -o compose --check # in CI: exit 1 when the files are not up to date
```

The files agree with the repository: CPU limit, memory, `/dev/shm`, thread environment, flags,
user and read-only root are those that `tritongen up --runtime docker` starts a container with, and
instances × threads stay within the CPU limit. From the plan file beside the repository (or
`--plan FILE`) come services, replicas, the week's schedule, the requests that one replica serves
at a time, and the wait in the queue at which a replica is added. Without a plan there is one
service with every model, from `availability:` to `scaling.max_replicas` replicas (four times the
least where that is not stated), and the wait is a tenth of the tightest latency goal.

| option | does |
|---|---|
| `REPO` | the repository (default: `model_repository`) |
| `--models MODELS` | folder with `tritongen.yaml` (default: what the repository was built from) |
| `--plan FILE` | of `tritongen plan` (default: `REPO.plan.json`, where there is one) |
| `--name NAME` | of the deployment and its one service (default: `triton`) |
| `--image IMAGE` | of the containers (default: the official image of the release) |
| `--storage URI` | the repository in a cluster: `pvc://CLAIM[/PATH]`, `s3://`, `gs://`, `as://` |
| `--check`, `--diff` | write nothing; say or show what would change |
| `--force` | overwrite hand edits, which are kept as `*.orig` |

Nothing is written that breaks a rule of its target: every file is read back and held against rules
that the targets' own validators miss, such as selectors that match no pod, a scaling target that
the threads can never reach, a container that is killed before Triton has answered, or Azure's
limits of an endpoint. `tritongen-export.json` lists what was written; other files in the folder are
never touched.

## What is checked, and what is not

The tests hold the files against `docker compose config`, `docker stack config`, `promtool`,
HAProxy's own check, kubernetes-validate in its strict mode, the schemas of KServe's and KEDA's
resources and azure-ai-ml's loader. Compose is started with the slim image, served from, and scraped
by a real Prometheus that every rule and panel is asked of. The Swarm stack is deployed on a node,
probed, scaled, updated under load without a failed request, and loses a replica under load. No
cluster of Kubernetes, no KServe, no Azure subscription was at hand: those files are validated, not
deployed.
"""

NOTES = {
    "compose": """\
Everything listens on the loopback only. `docker compose up --detach --wait` returns when every
model is ready; Grafana is at http://127.0.0.1:3000, Prometheus at http://127.0.0.1:9090. After
another `tritongen build`, export again: the label with the repository's digest makes Compose start
a new container. Variables replace image, CPUs, ports and the repository's place; on a machine with
fewer CPUs than planned, set `TRITON_CPUS`. This export lies in [`compose/`](../compose).
""",
    "swarm": """\
A client that keeps its connection open would stay with a replica that is about to stop, so the
stack has a gateway (HAProxy) that balances requests. It knows the replicas by Swarm's own names,
which hold a replica once it is healthy and forget it two seconds before it is stopped, sends a
request that was not answered to another replica, and lets nobody load or unload models. Requests
above 128 KiB are not sent again.

Configurations are Swarm configs with their digest in the name: `docker stack deploy` with a changed
one starts new replicas first, waits for their health and stops the old ones; a failed update is
rolled back. A test sends 15 HTTP and 15 gRPC requests a second through an update and loses none;
when a replica is killed, it admits three failures. Weights are read from `MODEL_REPOSITORY`, under
the same path on every node.

Swarm publishes on every address of every node, and its ingress network needs IPVS in the kernel.
Where that is missing, `PUBLISH_MODE=host GATEWAY_ORDER=stop-first` publishes on the gateway's node.
`docker stack deploy -c stack.yaml -c monitoring.yaml NAME` adds Prometheus and Grafana.
""",
    "kubernetes": """\
The HPA follows the mean wait of a request for a free instance, of the model that waits longest; the
rule for prometheus-adapter that makes the metric lies beside it. Requests equal limits in whole
cores, so that a node with the static CPU manager gives the threads cores of their own. A new
configuration is a new digest in the pod's annotations, and so a rolling update without a gap:
preStop gives the Service five seconds to forget the pod, Triton finishes its requests, and the
grace period covers both.
""",
    "kserve": """\
On the cluster's `kserve-tritonserver` runtime, as a raw Deployment: `tritonserver` keeps its own
ports 8080 and 9000 there, and resources are always set, because the runtime's default is one CPU.
""",
    "keda": """\
The workload of `kubernetes`, scaled by KEDA's Prometheus trigger on the same wait, and by cron
triggers where the plan has more replicas at some hours of the week than at others. Set
`serverAddress` to your Prometheus if it is not the chart's.
""",
    "azureml": """\
`deployment.yml` is the one without code: Azure's own Triton serves the repository, and clients send
tensors only. `deployment-container.yml` runs the plan's image with the plan's flags. The number of
requests at a time comes from the plan, since Azure's default of 1 starves Triton. `autoscale.json`
has a profile for weekdays and one for the weekend; its CPU thresholds are shares of what the
service's threads can reach on the machine's virtual CPUs. A planned machine type that managed
endpoints do not offer is replaced by the cheapest that fits, and told.
""",
}
_DIGEST = re.compile(
    r"\b[0-9a-f]{64}\b|(?<=tritongen-closed=)[0-9a-f]{32}|(?<=-)[0-9a-f]{12}(?=\")"
)
_LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".cfg": "haproxy"}
# Long, and the same for every deployment but for its models.
_FOLDED = ("grafana/", "prometheus/rules.yml", "monitoring.yaml")


def page() -> str:
    """The whole page."""
    return "\n".join((INTRO, *sections()))


def sections() -> Iterator[str]:
    """A section for each target."""
    for name, target in TARGETS.items():
        options = DeploymentOptions(ROOT / "model_repository", ROOT / "deploy" / name)
        result = export(
            ExportRequest(name, options, models=ROOT / "demo/models", mode=ExportMode.SHOW)
        )
        yield f"## {name}\n\n{target.summary}.\n"
        commands = "\n".join(f"$ {command}" for command in target.deploy)
        yield f"```console\n$ tritongen export {name} -o deploy/{name}\n$ cd deploy/{name}"
        yield f"{commands}\n```\n"
        yield NOTES[name]
        for file in result.files:
            yield from shown(file.path, file.text)


def shown(path: str, text: str) -> Iterator[str]:
    """One file, or only its name when it is long and tells little."""
    if path.startswith(_FOLDED):
        yield f"`{path}`: {text.count(chr(10))} lines.\n"
        return
    language = _LANGUAGES.get(Path(path).suffix, "dockerfile")
    yield f"`{path}`\n\n```{language}\n{_version(_DIGEST.sub('…', text)).rstrip()}\n```\n"


def _version(text: str) -> str:
    """The text without the number that stands for the digest."""
    return re.sub(r'(?m)^(  version: )"\d+"$', r'\1"…"', text)


def main() -> int:
    """Write the page, or compare it: 1 when it is old."""
    text = page()
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
