"""`tritongen up`."""

import argparse
import gc
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.cli.handed_over_code import add_untrusted, refuse_to_serve
from tritongen.cli.options import port
from tritongen.cli.output import (
    ProgressBar,
    dim,
    emit_json,
    print_findings,
    print_states,
    readiness,
    remark,
    say,
    say_lines,
    states_json,
    suggest,
)
from tritongen.cli.parser import CommandParser, Subparsers, add_command
from tritongen.errors import EnvironmentProblem, ExitCode, InvalidInputError

if TYPE_CHECKING:
    from tritongen.serving.docker.images import ImageChoice
    from tritongen.serving.lifecycle import UpOptions, UpResult

_log = logging.getLogger(__name__)
# Another run or another server stands in the way, wherever this one would have run.
_NOT_THE_RUNTIME = frozenset({"TG008", "TG808"})
_EXAMPLES = """\
  tritongen up                         serve model_repository/ in the background
  tritongen up --foreground            stay, print the log, stop on Ctrl-C
  tritongen up --http-port 0 --grpc-port 0 --metrics-port 0     take free ports
  tritongen up --runtime docker        in a container of the official image that fits the plan
  tritongen up --image NAME            in a container of that image
  tritongen up --runtime docker --dry-run       only print the docker run line
"""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "up", "serve a repository with a real Triton", _EXAMPLES)
    parser.add_repository()
    add_server_options(parser)
    parser.add_flags(dry_run="print the docker run line and start nothing")
    parser.add_readiness()
    add_untrusted(parser)
    parser.add_flags(foreground="stay until Ctrl-C or SIGTERM")
    parser.add_format()


def add_server_options(parser: CommandParser) -> None:
    """Where a server runs, in what, and on which ports."""
    parser.add_argument(
        "--runtime",
        choices=("auto", "embedded", "docker"),
        default="auto",
        help="embedded: Triton's PyPI wheel, without Docker or GPU; docker: a container; auto: "
        "embedded where it can serve the repository (default: %(default)s)",
    )
    parser.add_argument(
        "--image", default="", metavar="NAME",
        help="of the container, in place of the official one; implies docker; a local one is never "
        "pulled over",
    )  # fmt: skip
    parser.add_argument(
        "--user", default="", metavar="UID:GID", help="in the container (default: 1000:1000)"
    )
    parser.add_flags(writable="leave the container's root file system writable")
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    for name, usual in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
        parser.add_argument(
            f"--{name}-port", type=port, default=usual, metavar="PORT",
            help="0 takes a free one (default: %(default)s)",
        )  # fmt: skip
    parser.add_argument(
        "--triton-wheel", type=Path, metavar="PATH", help="the embedded Triton's wheel, offline"
    )


def run(options: argparse.Namespace) -> int:
    """Start, wait for each model, and leave the server running or stay with it."""
    with _uncollected():
        if options.dry_run:
            return _dry_run(options)
        refuse_to_serve(options)
        result, reason = _start(options)
    if not options.foreground:
        show(result, options.format, reason)
    else:
        from tritongen.serving.lifecycle import down

        try:
            show(result, options.format, reason)
            _follow(result)
        finally:
            down(Path.cwd())
    return int(readiness(result.models))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Collects no garbage meanwhile: that would only take time from the server's own start."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def _dry_run(options: argparse.Namespace) -> int:
    from tritongen.serving.lifecycle import dry_run
    from tritongen.serving.runtimes import image_choice

    wanted = _wanted(options)
    line = dry_run(Path.cwd(), options.repository, wanted)
    _show_line(line, image_choice(Path.cwd(), options.repository, wanted), options.format)
    return int(ExitCode.OK)


def _start(options: argparse.Namespace) -> tuple["UpResult", str]:
    """A server that is up, and why it runs where it does."""
    from tritongen.serving.lifecycle import up
    from tritongen.serving.runtimes import settle_runtime

    wanted, reason = settle_runtime(Path.cwd(), options.repository, _wanted(options))
    _log.info("runtime %s: %s", wanted.runtime, reason)
    try:
        with ProgressBar() as bar:
            return up(Path.cwd(), options.repository, wanted, bar), reason
    except EnvironmentProblem as problem:
        # Whoever asked for no runtime should learn which one failed, and why it was taken.
        if options.runtime == "auto" and problem.code not in _NOT_THE_RUNTIME:
            problem.details = (*problem.details, f"runtime {wanted.runtime}: {reason}")
        raise


def _wanted(options: argparse.Namespace) -> "UpOptions":
    return replace(wanted_server(options), timeout_s=options.timeout, keep_going=options.keep_going)


def wanted_server(options: argparse.Namespace) -> "UpOptions":
    """The wishes of `add_server_options`.

    Raises:
        InvalidInputError: TG009, two of them exclude each other.
    """
    from tritongen.serving.lifecycle import UpOptions
    from tritongen.serving.protocol import Ports
    from tritongen.triton.server import RuntimeName

    if options.image and options.runtime == "embedded":
        raise InvalidInputError(
            "TG009", "--image and --runtime embedded exclude each other", fix="Leave one out."
        )
    return UpOptions(
        runtime=None if options.runtime == "auto" else RuntimeName(options.runtime),
        ports=Ports(options.http_port, options.grpc_port, options.metrics_port),
        host=options.host,
        wheel=options.triton_wheel,
        image=options.image,
        user=options.user,
        read_only=False if options.writable else None,
    )


def _show_line(line: str, choice: "ImageChoice", form: str) -> None:
    """Print the command, and beside it why it names that image."""
    if form == "json":
        emit_json({"docker_run": line, "image": choice.reference, "reason": choice.reason})
        return
    remark(f"image {choice.reference}: {choice.reason}")
    say(line)


def show(result: "UpResult", form: str, reason: str) -> None:
    """Print a server that is up, as text or as JSON; `reason` says why it runs where it does."""
    if form == "json":
        emit_json(_json(result, reason))
    else:
        _print(result, reason)
    sys.stdout.flush()


def _json(result: "UpResult", reason: str) -> dict[str, object]:
    return {
        "runtime": result.runtime,
        "reason": reason,
        "endpoints": result.endpoints,
        "models": states_json(result.models),
        "log": result.log,
        "image": result.server.state.image,
        "docker_run": result.command,
    }


def _print(result: "UpResult", reason: str) -> None:
    say(f"runtime {result.runtime.value}: {reason}")
    print_findings(result.warnings)
    print_states(result.models)
    ends = result.endpoints
    say(f"http {ends.http}  grpc {ends.grpc}  metrics {ends.metrics}")
    say(f"log {result.log}")
    if result.command:
        say(f"image {result.server.state.image}")
        say(dim(result.command))
    suggest("tritongen verify, tritongen probe --concurrency 8, tritongen down")


def _follow(result: "UpResult") -> None:
    """Print the log until Ctrl-C or SIGTERM.

    Raises:
        EnvironmentProblem: TG812, the server ended by itself.
    """
    try:
        with result.log.open("rb") as log:
            while result.server.alive():
                for line in log:
                    say_lines(line.decode("utf-8", "replace"), stream=sys.stderr)
                time.sleep(0.2)
    except KeyboardInterrupt:
        return  # the asked-for end
    raise EnvironmentProblem("TG812", "the server ended", where=str(result.log))
