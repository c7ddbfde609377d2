"""`tritongen observe`."""

import argparse
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.api.documents import findings_json
from tritongen.cli import output
from tritongen.cli.output import bold, dim, good, say
from tritongen.cli.parser import (
    CommandParser,
    known_models,
    models_folder,
    positive_float,
    positive_int,
    seconds,
)
from tritongen.cli.server_options import add_server_options, server_access
from tritongen.cli.time_limit import time_limit
from tritongen.errors import ExitCode
from tritongen.model.codec import significant, view
from tritongen.model.findings import Severity

if TYPE_CHECKING:
    from tritongen.fleet.observe.model_counters import Observed
    from tritongen.fleet.observe.observe_server import CounterSource, Observation

EXAMPLES = """\
  tritongen observe --for 10m                                this project's server
  tritongen observe -u HOST:8000 --for 1h --write            state the observed rates
  tritongen observe --prometheus http://HOST:9090 --for 14d --csv traffic.csv
"""
_HEADERS = (
    "model", "rate/s", "peak/s", "intent/s", "queue ms", "compute ms", "batch", "busy", "failed",
)  # fmt: skip
_length = partial(seconds, least=1.0, what="a duration such as 90s, 10m or 14d")


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_known_models("folder of models with tritongen.yaml")
    place = parser.add_mutually_exclusive_group()
    add_server_options(
        parser, place, action="append", default=[],
        help="of a server, or of its metrics port (default: this project's); several add up",
    )  # fmt: skip
    place.add_argument("--prometheus", default="", metavar="URL", help="read its history instead")
    parser.add_argument(
        "--selector", default="", metavar="MATCHERS", help='of Prometheus, such as job="triton"'
    )
    parser.add_argument(
        "--for", type=_length, default=600.0, dest="seconds", metavar="TIME",
        help="how long, or how far back: 90s, 10m, 14d (default: 10m)",
    )  # fmt: skip
    parser.add_argument("--interval", type=seconds, metavar="TIME", help="between two readings")
    parser.add_argument(
        "--replicas", type=positive_int, default=1, metavar="N",
        help="servers that share the traffic evenly, of which one is observed",
    )  # fmt: skip
    parser.add_time_limit(60.0, "beyond --for")
    parser.add_repository_option("-r", "--repository", purpose="whose lock and plan count")
    parser.add_plan()
    parser.add_flags(write="state the observed rates in tritongen.yaml")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the rates as a history for `pattern: file`"
    )
    parser.add_argument(
        "--speedup", type=positive_float, default=1.0, metavar="N",
        help="of a replay that is observed: times of --csv are stretched by it",
    )  # fmt: skip
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Observe, compare, print; exit 1 when requests fail."""
    from tritongen.fleet.observe.expected import expectations
    from tritongen.fleet.observe.observe_server import (
        CounterSource,
        history_csv,
        observe,
        write_intent,
    )
    from tritongen.system.files import write_atomic

    access = server_access(options)
    if options.write:
        models_folder(options)  # says why there is none
    models = known_models(options)
    addresses = tuple(options.url) or (() if options.prometheus else (_own(),))
    source = CounterSource(
        addresses,
        options.prometheus,
        options.selector,
        options.seconds,
        options.interval,
        options.replicas,
        access,
    )
    expected = expectations(models, options.repository, options.plan)
    length_s = 0.0 if options.prometheus else options.seconds
    with output.ProgressBar() as bar, time_limit(length_s + options.timeout):
        found = observe(
            source,
            expected,
            lambda done, whole: bar("observing", int(done), int(whole)),
        )
    written = csv = None
    if options.write and found.changes and models is not None:
        written = write_intent(models, found.changes)
    if options.csv is not None:
        csv = options.csv
        write_atomic(csv, history_csv(found.models, speedup=options.speedup).encode())
    output.present(
        options.format,
        lambda: _json(found, source, written, csv),
        lambda: _print(found, written, csv),
    )
    failed = any(item.severity is Severity.ERROR for item in found.findings)
    return int(ExitCode.FINDINGS if failed else ExitCode.OK)


def _own() -> str:
    from tritongen.serving.lifecycle import running_server

    return running_server(Path.cwd()).endpoints.http


def _json(
    found: "Observation", source: "CounterSource", written: Path | None, csv: Path | None
) -> dict[str, object]:
    from tritongen.triton.address import shown_address

    return {
        "source": shown_address(source.prometheus) or source.addresses,
        "models": [_model(one, found) for one in found.models],
        "changes": [
            {"model": one.model, "rate": view(one, "average", "peak")} for one in found.changes
        ],
        "written": written,
        "csv": csv,
        "findings": findings_json(found.findings),
    }


def _model(one: "Observed", found: "Observation") -> dict[str, object]:
    wanted, instances = found.expected[one.model], _instances(one, found)
    total = one.total
    return {
        "name": one.model,
        "seconds": significant(one.seconds),
        "rate": {
            "mean": significant(one.rate),
            "peak": significant(one.peak),
            "intent_average": wanted.average,
            "intent_peak": wanted.peak,
            "expected_now": significant(wanted.window_rate),
        },
        "requests": round(total.requests),
        "failures": round(total.failures),
        "failure_share": significant(one.failure_share),
        "average_batch": significant(one.batch),
        "queue_us": significant(one.queue_us),
        "compute_us": significant(one.compute_us),
        "request_us": significant(one.request_us),
        "busy": significant(one.busy(instances)),
        "instances": instances,
        "servers": one.sources,
        "restarts": one.restarts,
        "service": wanted.service,
        "steps": [
            {
                "begin_s": round(step.begin_s, 3),
                "seconds": significant(step.seconds),
                "rate": significant(step.rate),
            }
            for step in one.steps
        ],
    }


def _instances(one: "Observed", found: "Observation") -> int | None:
    """Of a model on all servers, None where they are not known."""
    each = found.expected[one.model].instances
    return each * one.sources if each else None


def _print(found: "Observation", written: Path | None, csv: Path | None) -> None:
    rows = []
    for one in found.models:
        wanted = found.expected[one.model]
        busy = one.busy(_instances(one, found))
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
    output.print_table(_HEADERS, rows, drop=("batch", "compute ms", "peak/s"))
    say()
    output.print_findings(found.findings)
    if not found.findings:
        say(good("what is served agrees with intent and plan"))
    for change in found.changes:
        rate = f"{{average: {change.average:g}, peak: {change.peak:g}}}"
        say(f"{bold(change.model)}: observed `rate: {rate}`")
    if csv is not None:
        say(f"{good(f'rates written to {csv}')}; {dim('use it with `pattern: {file: …}`')}")
    if written is not None:
        say(good(f"stated in {written}"))
        output.suggest(f"tritongen plan {quote(str(written.parent))}")
    elif found.changes:
        output.suggest("tritongen observe --write")


def _ms(us: float | None) -> str:
    return "–" if us is None else f"{us / 1e3:.3g}"
