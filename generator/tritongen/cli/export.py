"""`tritongen export`."""

import argparse
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.api.documents import findings_json
from tritongen.cli import output
from tritongen.cli.output import dim, good, say
from tritongen.cli.parser import CommandParser, known_models
from tritongen.errors import ExitCode
from tritongen.model.codec import view

if TYPE_CHECKING:
    from tritongen.fleet.export.export_files import ExportResult

EXAMPLES = """\
  tritongen export compose -o compose          Triton with Prometheus and Grafana on one machine
  tritongen export kubernetes --plan plan.json --storage pvc://models -o deploy
  tritongen export swarm -o stack --check      exit 1 when the committed files are not up to date
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    from tritongen.fleet.export.targets import TARGETS

    parser.add_argument("target", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_repository()
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder to write (default: TARGET)"
    )
    parser.add_argument(
        "--models", type=Path, metavar="MODELS", help="folder of models with tritongen.yaml"
    )
    parser.add_plan()
    parser.add_argument("--name", default="triton", help="of the deployment (default: %(default)s)")
    parser.add_argument(
        "--image",
        default="",
        metavar="NAME",
        help="of the containers (default: the official one); without tag and digest an image to "
        "build, which holds the models and has the repository's digest as its tag",
    )
    parser.add_argument(
        "--storage", default="", metavar="URI",
        help="where a cluster finds the repository: pvc://CLAIM[/PATH], s3://, gs:// or as://; "
        "DIGEST in it stands for the repository's (default: pvc://NAME-models/DIGEST)",
    )  # fmt: skip
    parser.add_argument(
        "--namespace", default="", help="of the cluster (default: the deployment's name)"
    )
    parser.add_flags(
        parser.add_mutually_exclusive_group(),
        check="write nothing; exit 1 on drift",
        diff="write nothing; show the differences",
    )
    parser.add_flags(force="overwrite hand edits; they are kept as *.orig")
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Export, and report what changed."""
    from tritongen.fleet.export.deployment_from_repository import ExportMode, ExportRequest
    from tritongen.fleet.export.export_files import export

    mode = ExportMode.WRITE
    if options.check:
        mode = ExportMode.CHECK
    elif options.diff:
        mode = ExportMode.SHOW
    request = ExportRequest(
        target=options.target,
        repository=options.repository,
        output=options.output or Path(options.target),
        name=options.name,
        image=options.image,
        storage=options.storage,
        namespace=options.namespace,
        models=known_models(options),  # a repository without its models can be deployed, too
        plan=options.plan,
        mode=mode,
        force=options.force,
    )
    result = export(request)
    output.present(
        options.format,
        lambda: _json(options.target, result),
        lambda: _print(result, options),
    )
    drift = bool(result.differences) and not result.written
    return int(ExitCode.FINDINGS if options.check and drift else ExitCode.OK)


def _json(target: str, result: "ExportResult") -> dict[str, object]:
    return {
        "target": target,
        "written": result.written,
        "drift": bool(result.differences) and not result.written,
        "services": [
            {
                "name": service.name,
                "models": [model.name for model in service.models],
                **view(
                    service.container,
                    "image",
                    "cores",
                    "cpus",
                    "memory_bytes",
                    "shared_memory_bytes",
                ),
                "threads": service.total_threads,
                "replicas": {"min": service.replicas.least, "max": service.replicas.most},
                **view(service, "queue_target_us", "concurrency"),
            }
            for service in result.deployment.services
        ],
        "files": [item.path for item in result.files],
        "differences": [view(item, "path", "kind") for item in result.differences],
        "findings": findings_json(result.findings),
    }


def _print(result: "ExportResult", options: argparse.Namespace) -> None:
    output.print_findings(result.findings)
    if options.diff:
        output.print_diffs(result.differences)
        return
    output.print_table(
        ("service", "replicas", "cores", "CPUs", "threads", "queue target", "models"),
        [
            (
                service.name,
                f"{service.replicas.least} to {service.replicas.most}",
                str(service.container.cores or "all"),
                str(service.container.cpus or "all"),
                str(service.total_threads),
                f"{service.queue_target_us} µs",
                ", ".join(model.name for model in service.models),
            )
            for service in result.deployment.services
        ],
    )
    for difference in result.differences:
        say(f"{difference.kind.value}: {difference.path}")
    _conclude(result, options)


def _conclude(result: "ExportResult", options: argparse.Namespace) -> None:
    from tritongen.fleet.export.model_files import deploy_commands
    from tritongen.fleet.export.targets import TARGETS

    folder = options.output or options.target
    if result.written:
        say(good(f"wrote {folder}"))
        target = TARGETS[options.target]
        for command in deploy_commands(target, result.deployment):
            say(dim(f"in {folder}: {command}"), wrap=False)
        output.suggest(f"tritongen export {options.target} -o {quote(str(folder))} --check")
    elif options.check and result.differences:
        say("drift: run `tritongen export` and commit")
    else:
        say(good("up to date" if options.check else "nothing to change"))
