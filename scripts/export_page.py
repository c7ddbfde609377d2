"""Writes docs/export.md from what `tritongen export` makes of the demo; `--check` compares instead.

Digests are left out of the page, so that a new model file alone does not change it.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tritongen.fleet.export.deployment_from_repository import ExportMode, ExportRequest
from tritongen.fleet.export.export_files import export
from tritongen.fleet.export.export_target import ExportTarget
from tritongen.fleet.export.model_files import deploy_commands
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
$ tritongen export compose -o compose         # or OTHERS
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
| `--image NAME` | of the containers, best by digest (default: the official one); see below |
| `--storage URI` | the repository in a cluster: `pvc://CLAIM[/PATH]`, `s3://`, `gs://`, `as://` |
| `--namespace NAME` | of a cluster (default: the deployment's name) |
| `--check`, `--diff` | write nothing; say or show what would change |
| `--force` | overwrite hand edits, which are kept as `*.orig` |

`--image NAME` with neither tag nor digest is an image to build: a Dockerfile is written, the image
holds the models, its tag is the repository's digest, and the printed commands build it from a
stream in which nothing depends on the day. That is the simplest way where models are small, a
gigabyte or two. `DIGEST` in the URI stands for the repository's digest; the default is
`pvc://NAME-models/DIGEST`.

Nothing is written that the target would refuse or that could not work, such as a scaling target
that the threads can never reach, a wait that is longer than the latency goal, or more than Azure's
limits of an endpoint. `tritongen-export.json` lists what was written; other files in the folder are
never touched.

## What is checked, and what is not

The tests read every file back and hold it against rules that the targets' own validators miss, such
as selectors that match no pod or a container that is killed before Triton has answered. They hold
the files against `docker compose config`, `docker stack config`, `promtool`, HAProxy's own check,
Kustomize with every overlay, kubernetes-validate in its strict mode, the schemas of KServe's,
KEDA's, the Prometheus Operator's and the Gateway API's resources, and azure-ai-ml's loader. Compose
is started with the slim image, served from, and scraped by a real Prometheus that every rule and
panel is asked of. The Swarm stack is deployed on a node, probed, scaled, updated and rolled back
under 10,000 requests without a failed one, and loses a replica under load. Pods of the Kubernetes
export run in Docker with their own flags, and are ended as a kubelet does while their replacement
is up: no gRPC request is lost, and without the flags some are. The image that holds the models is
built twice with the same layers; the copy into a claim, and the refusal of another repository, run
in Docker, too. Shared memory, the repository, traces and logging are asked for over HTTP and gRPC,
with and without keys that can be guessed: at Compose's server, at the stack's gateway and replicas,
at Azure's container.

On a Kubernetes 1.34 of one node the files of an earlier version were applied, served, scaled by the
HPA, updated, drained and run under the pod security standard `restricted`; what was found there is
mended (start-up within 3 s, gRPC in rolling updates, drains, the autoscalers' queries), and the
present files are validated, not deployed. KServe, KEDA and Azure ML were not at hand: their objects
are validated. The least versions are Kubernetes 1.27, KServe 0.16 and KEDA 2.11.
"""

_DIGEST = re.compile(r"\b[0-9a-f]{64}\b|\b(?=[a-f]*\d)[0-9a-f]{12}\b")
_LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".cfg": "haproxy", ".sh": "sh"}
# Long, and the same for every deployment but for its models.
_FOLDED = (
    "grafana/",
    "prometheus/rules.yml",
    "monitoring.yaml",
    "overlays/monitoring/",
    "SHA256SUMS",
)


def page() -> str:
    """The whole page."""
    _, *others = TARGETS
    return "\n".join((INTRO.replace("OTHERS", ", ".join(others)), *sections()))


def sections() -> Iterator[str]:
    """A section for each target."""
    seen: dict[tuple[str, str], str] = {}
    for name, target in TARGETS.items():
        request = ExportRequest(
            name,
            ROOT / "model_repository",
            ROOT / "deploy" / name,
            models=ROOT / "demo/models",
            mode=ExportMode.SHOW,
        )
        result = export(request)
        yield f"## {name}\n\n{target.summary}.\n"
        told = deploy_commands(target, result.deployment)
        commands = "\n".join(f"$ {_DIGEST.sub('…', command)}" for command in told)
        yield f"```console\n$ tritongen export {name} -o deploy/{name}\n$ cd deploy/{name}"
        yield f"{commands}\n```\n"
        yield notes(target)
        for file in result.files:
            before = seen.setdefault((file.path, file.text), name)
            if before == name:
                yield from shown(file.path, file.text)
            else:
                yield f"`{file.path}`: as in `{before}`.\n"


def notes(target: ExportTarget) -> str:
    """What the docstring of the target's module says after its first line."""
    text = inspect.getdoc(inspect.getmodule(target.files)) or ""
    return text.partition("\n\n")[2] + "\n"


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
