"""`tritongen probe`."""

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.cli import perf_analyzer
from tritongen.cli.output import ProgressBar
from tritongen.cli.parser import (
    CommandParser,
    positive_float,
    positive_int,
    seconds,
    writable_file,
)
from tritongen.cli.probe_values import model_choice, pair, shape, start_time
from tritongen.cli.request_parameters import request_parameters
from tritongen.cli.server_options import (
    ADDRESS,
    add_server_options,
    server_access,
    shown_command,
)
from tritongen.cli.time_limit import time_limit
from tritongen.errors import InvalidInputError

if TYPE_CHECKING:
    from tritongen.probe.probe_request import ProbeRequest
    from tritongen.probe.questions.goal_and_knee import LoadSearch
    from tritongen.probe.workload import Load

EXAMPLES = f"""\
  tritongen probe --concurrency 8            every ready model of this project's server
  tritongen probe -m ocr --concurrency 1:64  throughput and latency as concurrency doubles
  tritongen probe -m ocr --rate 100          open loop: latency at 100 requests a second
  tritongen probe -m ocr --find knee         where throughput stops growing
  tritongen probe -m ocr --goal 'p99<5ms'    greatest rate that holds the goal
  tritongen probe -m ocr --client both       the server's capacity, and what tritonclient gets of it
  tritongen probe -u https://HOST/api/x --header-file key.txt --request-count 500
  tritongen probe --compare before.json after.json
  tritongen probe --merge a.json b.json      of probes that were started with one --start-at
{perf_analyzer.SECTION}"""


# Time for a level, seconds. Chosen.
_BUDGET_S = 10.0
# Of one that ends with its requests: a day, of which nobody waits for the end. Chosen.
_COUNTED_S = 86_400.0
# What independent users make.
_ARRIVALS = "poisson"
_FILE_FORMATS = ("json", "csv", "html")
_QUESTIONS = ("find", "goal", "compare", "merge", "against")


def register(parser: CommandParser) -> None:
    """Add its options."""
    _add_target(parser)
    _add_load(parser)
    _add_inputs(parser)
    _add_measurement(parser)
    _add_output(parser)
    _add_questions(parser)
    parser.add_time_limit(None, "of the whole command, what was measured by then is told")
    perf_analyzer.add_names(parser)


def _add_target(parser: CommandParser) -> None:
    group = parser.add_argument_group("server and models")
    group.add_argument(
        "-m",
        "--model",
        action="append",
        default=[],
        metavar="NAME[/VERSION][=SHARE]",
        help="repeatable; models with a share are probed at once (default: every ready model)",
    )
    group.add_argument(
        "--protocol", choices=("http", "grpc"), help="(default: the address's own, else http)"
    )
    group = add_server_options(
        parser, metavar="ADDRESS[,ADDRESS]",
        help=f"{ADDRESS}; of several replicas, each gets its share of the load",
    )  # fmt: skip
    parser.add_flags(group, tls="speak TLS where the address has no scheme")


def _add_load(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("load")
    group.add_argument(
        "--concurrency", metavar="8|1,2,4|1:64[:STEP]", help="closed loop (default: 8)"
    )
    group.add_argument("--rate", metavar="100|50,100|50:800[:STEP]", help="open loop, per second")
    group.add_argument(
        "--arrivals",
        choices=("poisson", "constant"),
        help=f"gaps of an open loop (default: {_ARRIVALS})",
    )
    group.add_argument(
        "--max-outstanding", type=int, metavar="N", help="requests beyond wait in the client"
    )
    group.add_argument(
        "--schedule",
        metavar="FILE|PATTERN",
        help="time stamps or periods, or a pattern with --rate and --duration: workday, "
        "weekday-weekend, black-friday, ramp, bursts",
    )
    group.add_argument(
        "--speedup", type=positive_float, default=1.0, metavar="N", help="of a schedule"
    )
    group.add_argument("--sequence", type=int, default=0, metavar="N", help="steps of a sequence")
    group.add_argument(
        "--processes", type=int, default=1, metavar="N", help="that make the load (default: 1)"
    )
    group.add_argument(
        "--client", choices=("auto", "fast", "tritonclient", "both"), default="auto",
        help="fast costs little beside the server; tritonclient sends as a Python service does; "
        "both in interleaved pairs (default: fast, and tritonclient for streams)",
    )  # fmt: skip
    group.add_argument(
        "--compression", choices=("gzip", "deflate"), default="",
        help="of requests and responses, by tritonclient (default: none)",
    )  # fmt: skip
    group.add_argument("--streaming", action="store_true", help="use gRPC streams")
    group.add_argument("--shm", action="store_true", help="inputs and outputs in shared memory")


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("inputs")
    group.add_argument("--batch", type=int, default=1, metavar="N", help="rows of a request")
    group.add_argument("--data", type=Path, metavar="FILE", help="real tensors: .npz, .npy, JSON")
    for flag, form in (("--shape", "NAME:1,3,224,224"), ("--values", "NAME=int[0,10)")):
        group.add_argument(flag, action="append", default=[], metavar=form, help="repeatable")
    group.add_argument(
        "--request-parameter", action="append", default=[], metavar="NAME:VALUE:TYPE",
        help="of every request: int, float, bool or string; repeatable",
    )  # fmt: skip
    group.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")


def _add_measurement(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("measurement")
    group.add_argument(
        "--duration", type=seconds, metavar="TIME", help="measure each level for so long"
    )
    group.add_argument(
        "--start-at", default="", metavar="TIME",
        help="begin then, as probes on other machines do: 2030-01-31T12:00:00Z, or seconds since "
        "1970; levels take all their time, and the JSON can be merged",
    )  # fmt: skip
    group.add_argument(
        "--request-count", type=positive_int, metavar="N",
        help="end each level with N requests, without warm-up",
    )  # fmt: skip
    group.add_argument(
        "--time-budget",
        type=seconds,
        metavar="TIME",
        help="longest time for a level, such as 30, 500ms or 2m; it ends when precise "
        f"(default: {_BUDGET_S:g} s; with --request-count, or a schedule, the whole of it)",
    )
    group.add_argument(
        "--confidence", type=float, default=0.95, help="of intervals (default: %(default)s)"
    )
    group.add_argument(
        "--width",
        type=positive_float,
        default=0.10,
        help="of an interval at which a level may end, ± as a share (default: %(default)s)",
    )


def _add_questions(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("questions")
    group.add_argument("--find", choices=("knee",), help="the load beyond which only queues grow")
    group.add_argument(
        "--goal",
        metavar="'p99<5ms'",
        help="greatest rate, or with --concurrency greatest concurrency, that holds it",
    )
    group.add_argument(
        "--compare", nargs=2, type=Path, metavar=("A.json", "B.json"), help="two saved results"
    )
    group.add_argument(
        "--merge", nargs="+", type=Path, default=[], metavar="A.json",
        help="one result of several probes with the same command and --start-at",
    )  # fmt: skip
    group.add_argument(
        "--against",
        type=Path,
        metavar="CONFIG",
        help="what is served now against a config.pbtxt, in interleaved pairs; the server needs "
        "`up --model-control explicit`",
    )
    group.add_argument(
        "--tolerance",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="a change within it is none (default: %(default)s)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--format", choices=("text", *_FILE_FORMATS), default="text",
        help="(default: that of the name after -o, else text)",
    )  # fmt: skip
    group.add_argument("-o", "--output", type=Path, metavar="FILE", help="instead of stdout")


def run(args: argparse.Namespace) -> int:
    """Measure and print; the exit code tells what ended it."""
    from tritongen import api
    from tritongen.cli.probe_output import deliver

    _check_question(args)
    if args.compare:
        return deliver(args, api.compare_probes(*args.compare, tolerance=args.tolerance))
    if args.merge:
        return deliver(args, api.merge_probes(args.merge))
    probe = api.probe  # its import takes none of the time that the server has
    with ProgressBar() as bar, time_limit(args.timeout):
        found = probe(
            _request(args),
            find=_search(args) if args.goal or args.find else None,
            against=args.against,
            both_clients=args.client == "both",
            tolerance=args.tolerance,
            progress=bar if sys.stderr.isatty() else None,
        )
    return deliver(args, found)


def _check_question(args: argparse.Namespace) -> None:
    """One question at a time."""
    asked = [f"--{name}" for name in _QUESTIONS if getattr(args, name)]
    asked += ["--client both"] if args.client == "both" else []
    if len(asked) > 1:
        raise InvalidInputError("TG905", f"{' and '.join(asked)} are different questions")
    if asked in (["--find"], ["--goal"]) and args.schedule:
        raise InvalidInputError("TG905", f"{asked[0]} chooses its own load; leave --schedule out")
    if asked and args.request_count:
        raise InvalidInputError("TG905", f"{asked[0]} needs levels of time, not --request-count")
    if args.start_at and (other := [*asked, *_unplanned(args)]):
        raise InvalidInputError("TG905", f"--start-at does not go together with {other[0]}")
    if args.tolerance < 0:
        raise InvalidInputError("TG905", "--tolerance is a share such as 0.05")
    if args.format == "text" and args.output is not None:
        args.format = args.output.suffix.lower().removeprefix(".")
        if args.format not in _FILE_FORMATS:
            what = f"the name {args.output.name} tells no format"
            fix = "Name it .json, .csv or .html, or add --format."
            raise InvalidInputError("TG905", what, where="-o", fix=fix)
    if args.output is not None:
        writable_file(args.output)


def _unplanned(args: argparse.Namespace) -> list[str]:
    """Options by which levels end at a time that nobody knows before, or cannot be added up."""
    given = {"--request-count": args.request_count, "--schedule": args.schedule}
    return [flag for flag, value in given.items() if value]


def _search(args: argparse.Namespace) -> "LoadSearch":
    """The question of --goal or --find; --concurrency and --rate bound it."""
    from tritongen.probe.questions.goal_and_knee import LoadSearch
    from tritongen.probe.workload import parse_concurrency, parse_goals, parse_rates

    levels: tuple[float, ...] = ()
    if args.concurrency:
        levels = parse_concurrency(args.concurrency)
    elif args.rate:
        levels = parse_rates(args.rate)
    return LoadSearch(
        goals=parse_goals(args.goal) if args.goal else (),
        by_concurrency=bool(args.concurrency),
        first=levels[0] if levels else None,
        most=levels[-1] if len(levels) > 1 else None,
    )


def _request(args: argparse.Namespace) -> "ProbeRequest":
    from tritongen.model.client_protocol import ClientProtocol
    from tritongen.probe.level import Conditions
    from tritongen.probe.load_engine import EngineOptions, LoadClient
    from tritongen.probe.load_job import InputOptions
    from tritongen.probe.probe_request import ProbeRequest
    from tritongen.probe.statistics.measurement import WantedPrecision
    from tritongen.system.sample_files import data_file

    _check_numbers(args)
    loads = _loads(args)
    usual = _COUNTED_S if args.request_count else _BUDGET_S
    budget = args.duration or args.time_budget or max(usual, *map(_least_length, loads))
    client = LoadClient.AUTO if args.client == "both" else LoadClient(args.client)
    options = EngineOptions(client, compression=args.compression)
    if args.max_outstanding is not None:
        options = replace(options, max_outstanding=args.max_outstanding)
    return ProbeRequest(
        models=tuple(model_choice(text, args.model_version) for text in args.model),
        url=args.url,
        protocol=ClientProtocol(args.protocol) if args.protocol else None,
        access=server_access(args, secured=args.tls),
        loads=loads,
        inputs=InputOptions(
            batch=args.batch,
            shapes=dict(map(shape, args.shape)),
            values=dict(pair("--values", text, "=") for text in args.values),
            data=data_file(args.data) if args.data else None,
            seed=args.seed,
            parameters=request_parameters(args.request_parameter),
        ),
        conditions=Conditions(
            budget_s=budget,
            fixed=args.duration is not None,
            precision=WantedPrecision(width=args.width, confidence=args.confidence),
            seed=args.seed,
            requests=args.request_count,
            begin_at=start_time(args.start_at) if args.start_at else None,
        ),
        processes=args.processes,
        sequence_length=args.sequence,
        streaming=args.streaming,
        shared_memory=args.shm,
        options=options,
        command=shlex.join(["tritongen", *shown_command(sys.argv[1:])]),
    )


def _check_numbers(args: argparse.Namespace) -> None:
    if not 0.5 <= args.confidence < 1.0:
        raise InvalidInputError("TG905", "--confidence lies between 0.5 and 1, such as 0.95")
    bounds = {"batch": 1, "processes": 1, "sequence": 0, "max_outstanding": 1}
    for name, least in bounds.items():
        value = getattr(args, name)
        if value is not None and value < least:
            flag = f"--{name.replace('_', '-')}"
            raise InvalidInputError("TG905", f"{flag} is at least {least}, not {value}")


def _loads(args: argparse.Namespace) -> "tuple[Load, ...]":
    from tritongen.probe.workload import parse_concurrency, parse_rates
    from tritongen.queueing import ClosedLoop, OpenLoop, Pacing

    pacing, cap = Pacing(args.arrivals or _ARRIVALS), args.max_outstanding
    if args.concurrency and args.rate:
        raise InvalidInputError(
            "TG905",
            "--concurrency and --rate are two kinds of load",
            fix="Give one of them; a rate with a cap is --rate 100 --max-outstanding 8.",
        )
    if args.schedule:
        return (_replay(args),)
    if args.rate:
        return tuple(OpenLoop.paced(rate, pacing, cap) for rate in parse_rates(args.rate))
    return tuple(ClosedLoop(level) for level in parse_concurrency(args.concurrency or "8"))


def _least_length(load: "Load") -> float:
    """Seconds of a schedule, 0 for other loads: they may end at any time."""
    from tritongen.probe.schedule import Replay

    return load.schedule.duration_s if isinstance(load, Replay) else 0.0


def _replay(args: argparse.Namespace) -> "Load":
    from tritongen.probe.probe_models import read_schedule
    from tritongen.probe.schedule import Replay
    from tritongen.probe.workload import parse_rates
    from tritongen.queueing import Pacing

    rate = parse_rates(args.rate)[0] if args.rate else 10.0
    length = args.duration or args.time_budget or _BUDGET_S
    schedule = read_schedule(args.schedule, rate, length)
    return Replay(
        schedule.sped_up(args.speedup), Pacing(args.arrivals or _ARRIVALS), args.max_outstanding
    )
