"""`tritongen observe`."""

import argparse
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.cli.options import Subparsers, add_command, add_format, positive_float, positive_int
from tritongen.cli.output import (
    ProgressBar,
    bold,
    dim,
    emit_json,
    finding_json,
    good,
    print_finding,
    print_table,
    say,
    suggest,
)
from tritongen.errors import ExitCode, TritongenError
from tritongen.model.findings import Severity

if TYPE_CHECKING:
    from tritongen.fleet.observe.model_counters import Observed
    from tritongen.fleet.observe.observe_server import CounterSource, Observation

_EXAMPLES = """\
  tritongen observe --for 10m                                this project's server
  tritongen observe -u HOST:8000 --for 1h --write            state the observed rates
  tritongen observe --prometheus http://HOST:9090 --for 14d --csv traffic.csv
"""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def duration(text: str) -> float:
    """Seconds of ``90s``, ``10m``, ``2h`` or ``14d``, for `type=`."""
    unit = _UNITS.get(text.strip()[-1:])
    try:
        value = float(text.strip()[:-1]) if unit is not None else float(text)
    except ValueError:
        value = 0.0
    seconds = value * (unit or 1.0)
    if not 1.0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(
            f"must be a duration such as 90s, 10m or 14d, got {text!r}"
        )
    return seconds


def interval(text: str) -> float:
    """Seconds between readings, such as ``0.5``, ``500ms`` or ``10s``, for `type=`."""
    if text.strip().endswith("ms"):
        return positive_float(text.strip()[:-2]) / 1e3
    if text.strip()[-1:] in _UNITS:
        return duration(text) if text.strip()[-1:] != "s" else positive_float(text.strip()[:-1])
    return positive_float(text)


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(
        commands, "observe", "what a live server does, and what to change", _EXAMPLES
    )
    parser.add_argument(
        "models", type=Path, nargs="?", metavar="MODELS",
        help="folder of models with tritongen.yaml (default: the last one built)",
    )  # fmt: skip
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "-u", "--url", action="append", default=[], metavar="HOST:PORT",
        help="HTTP or metrics port of a server (default: this project's); several add up",
    )  # fmt: skip
    place.add_argument("--prometheus", default="", metavar="URL", help="read its history instead")
    parser.add_argument(
        "--selector", default="", metavar="MATCHERS", help='of Prometheus, such as job="triton"'
    )
    parser.add_argument(
        "--for", type=duration, default=600.0, dest="seconds", metavar="TIME",
        help="how long, or how far back: 90s, 10m, 14d (default: 10m)",
    )  # fmt: skip
    parser.add_argument("--interval", type=interval, metavar="TIME", help="between two readings")
    parser.add_argument(
        "--replicas", type=positive_int, default=1, metavar="N",
        help="servers that share the traffic evenly, of which one is observed",
    )  # fmt: skip
    parser.add_argument(
        "-r", "--repository", type=Path, default=Path("model_repository"), metavar="REPO",
        help="repository whose lock and plan count (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--plan", type=Path, metavar="FILE", help="plan (default: REPO.plan.json)")
    parser.add_argument(
        "--write", action="store_true", help="state the observed rates in tritongen.yaml"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the rates as a history for `pattern: file`"
    )
    parser.add_argument(
        "--speedup", type=positive_float, default=1.0, metavar="N",
        help="of a replay that is observed: times of --csv are stretched by it",
    )  # fmt: skip
    add_format(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Observe, compare, print; exit 1 when requests fail."""
    from tritongen.fleet.observe.observe_server import (
        CounterSource,
        ProjectPaths,
        history_csv,
        observe,
        write_intent,
    )
    from tritongen.system.files import write_atomic

    models = _models(options)
    addresses = tuple(options.url) or (() if options.prometheus else (_own(),))
    source = CounterSource(
        addresses,
        options.prometheus,
        options.selector,
        options.seconds,
        options.interval,
        options.replicas,
    )
    with ProgressBar() as bar:
        found = observe(
            source,
            ProjectPaths(models, options.repository, options.plan),
            lambda done, whole: bar("observing", int(done), int(whole)),
        )
    written = csv = None
    if options.write and found.changes and models is not None:
        written = write_intent(models, found.changes)
    if options.csv is not None:
        csv = options.csv
        write_atomic(csv, history_csv(found.models, speedup=options.speedup).encode())
    if options.format == "json":
        emit_json(_json(found, source, written, csv))
    else:
        _print(found, written, csv)
    failed = any(item.severity is Severity.ERROR for item in found.findings)
    return int(ExitCode.FINDINGS if failed else ExitCode.OK)


def _models(options: argparse.Namespace) -> Path | None:
    """The models folder; None when none is named and none is remembered."""
    from tritongen.cli.options import existing_folder
    from tritongen.repository.project_registry import last_models

    if options.models is not None:
        return existing_folder(options.models)
    try:
        return last_models(options.repository)
    except TritongenError:
        if options.write:
            raise
        return None


def _own() -> str:
    from tritongen.serving.lifecycle import running_server

    return running_server(Path.cwd()).endpoints.http


def _json(
    found: "Observation", source: "CounterSource", written: Path | None, csv: Path | None
) -> dict[str, object]:
    from tritongen.triton.address import shown_address

    return {
        "source": shown_address(source.prometheus) or list(source.addresses),
        "models": [_model(one, found) for one in found.models],
        "changes": [
            {"model": one.model, "rate": {"average": one.average, "peak": one.peak}}
            for one in found.changes
        ],
        "written": str(written) if written is not None else None,
        "csv": str(csv) if csv is not None else None,
        "findings": [finding_json(item) for item in found.findings],
    }


def _model(one: "Observed", found: "Observation") -> dict[str, object]:
    wanted = found.expected[one.model]
    instances = wanted.instances * one.sources if wanted.instances else None
    total = one.total
    return {
        "name": one.model,
        "seconds": _six(one.seconds),
        "rate": {
            "mean": _six(one.rate),
            "peak": _six(one.peak),
            "intent_average": wanted.average,
            "intent_peak": wanted.peak,
            "expected_now": _six(wanted.window_rate),
        },
        "requests": round(total.requests),
        "failures": round(total.failures),
        "failure_share": _six(one.failure_share),
        "average_batch": _six(one.batch),
        "queue_us": _six(one.queue_us),
        "compute_us": _six(one.compute_us),
        "request_us": _six(one.request_us),
        "busy": _six(one.busy(instances)),
        "instances": instances,
        "servers": one.sources,
        "restarts": one.restarts,
        "service": wanted.service,
        "steps": [
            {
                "begin_s": round(step.begin_s, 3),
                "seconds": _six(step.seconds),
                "rate": _six(step.rate),
            }
            for step in one.steps
        ],
    }


def _six(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _print(found: "Observation", written: Path | None, csv: Path | None) -> None:
    rows = []
    for one in found.models:
        wanted = found.expected[one.model]
        instances = wanted.instances * one.sources if wanted.instances else None
        busy = one.busy(instances)
        rows.append(
            (
                one.model,
                f"{one.rate:.3g}",
                f"{one.peak:.3g}",
                "–" if wanted.average is None else f"{wanted.average:.3g}",
                _ms(one.queue_us),
                _ms(one.compute_us),
                "–" if one.batch is None else f"{one.batch:.2f}",
                "–" if busy is None else f"{busy:.0%}",
                f"{one.failure_share:.2%}" if one.total.failures else "0",
            )
        )
    print_table(
        (
            "model",
            "rate/s",
            "peak/s",
            "intent/s",
            "queue ms",
            "compute ms",
            "batch",
            "busy",
            "failed",
        ),
        rows,
    )
    say()
    for item in found.findings:
        print_finding(item)
    if not found.findings:
        say(good("what is served agrees with intent and plan"))
    for change in found.changes:
        say(f"{bold(change.model)} rate: {{average: {change.average:g}, peak: {change.peak:g}}}")
    if csv is not None:
        say(f"{good(f'rates written to {csv}')} {dim('use it with `pattern: {file: …}`')}")
    if written is not None:
        say(good(f"stated in {written}"))
        suggest(f"tritongen plan {quote(str(written.parent))}")
    elif found.changes:
        suggest("tritongen observe --write")


def _ms(us: float | None) -> str:
    return "–" if us is None else f"{us / 1e3:.3g}"
