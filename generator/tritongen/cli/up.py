"""`tritongen up`."""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.cli import output
from tritongen.cli.output import dim, say
from tritongen.cli.parser import CommandParser, port, refuse_to_serve, size
from tritongen.errors import EnvironmentProblem, ExitCode, InvalidInputError

if TYPE_CHECKING:
    from tritongen.serving.server_spec import UpOptions
    from tritongen.serving.up import RunCommand, UpResult

# Of what it has logged until it is ready; chosen: more than a start writes.
_FOLLOWED_LINES = 100_000

EXAMPLES = """\
  tritongen up                         serve model_repository/ in the background
  tritongen up --foreground            stay, print the log, stop on Ctrl-C
  tritongen up --http-port 0 --grpc-port 0 --metrics-port 0     take free ports
  tritongen up --runtime docker        in a container of the official image that fits the plan
  tritongen up --image NAME            in a container of that image
  tritongen up --model-control explicit         for `tritongen probe --against`
  tritongen up --runtime docker --dry-run       only print the docker run line
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_repository()
    add_server_options(parser)
    parser.add_flags(dry_run="print the docker run line and start nothing")
    parser.add_readiness()
    parser.add_untrusted()
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
    parser.add_flags(
        writable="leave the container's root file system writable",
        expose="listen on a --host that others reach; the server has no password",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    for name, usual in (("http", 8000), ("grpc", 8001), ("metrics", 8002)):
        parser.add_argument(
            f"--{name}-port", type=port, default=usual, metavar="PORT",
            help="0 takes a free one (default: %(default)s)",
        )  # fmt: skip
    _add_triton_options(parser)
    parser.add_argument(
        "--triton-wheel", type=Path, metavar="PATH", help="the embedded Triton's wheel, offline"
    )


def _add_triton_options(parser: CommandParser) -> None:
    """What Triton itself is told, beside what was planned."""
    for name, what in (
        ("pinned", "of the machine, for copies to and from GPUs (Triton's own: 256MiB)"),
        ("cuda", "of each GPU, for the same (Triton's own: 64MiB)"),
    ):
        parser.add_argument(f"--{name}-pool", type=size, default=0, metavar="SIZE", help=what)
    parser.add_argument(
        "--model-control", choices=("none", "explicit"), default="none",
        help="explicit: models can be loaded and unloaded with this project's key, as "
        "`tritongen probe --against` does (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--response-cache", type=_response_cache, metavar="SIZE|redis://HOST:PORT",
        help="for models with a response cache, in place of the planned one: memory of the server, "
        "such as 64MiB, or a Redis (Docker only)",
    )  # fmt: skip
    parser.add_argument(
        "--log-level", choices=tuple(_LOG_LEVELS), default="info",
        help="what the server logs (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--server-flag", action="append", default=[], type=_server_flag, metavar="NAME=VALUE",
        help="of tritonserver, such as http-thread-count=16; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME",
        help="give the server this variable of yours, such as HF_TOKEN; may be repeated",
    )  # fmt: skip


_LOG_LEVELS = {
    "error": (("log-info", "false"), ("log-warning", "false")),
    "warning": (("log-info", "false"),),
    "info": (),
    "verbose": (("log-verbose", "1"),),
}
_CACHE = "cache-config"
_CACHE_FORMS = re.compile(
    r"(?P<size>[1-9][0-9]{0,9})(?P<unit>KiB|MiB|GiB)"
    r"|redis://(?P<host>[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})"
)
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# Servers of other protocols, which listen on every address.
_OPENING = frozenset({"allow-sagemaker", "allow-vertex-ai"})


def _server_flag(text: str) -> tuple[str, str]:
    name, separator, value = text.removeprefix("--").partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text!r}")
    return name, value


def _response_cache(text: str) -> tuple[tuple[str, str], ...]:
    """The flags of a cache."""
    found = _CACHE_FORMS.fullmatch(text)
    if found is None:
        what = f"must be a size such as 64MiB, or redis://HOST:PORT, got {text!r}"
        raise argparse.ArgumentTypeError(what)
    if found["host"]:
        return ((_CACHE, f"redis,host={found['host']}"), (_CACHE, f"redis,port={found['port']}"))
    return ((_CACHE, f"local,size={int(found['size']) * _UNITS[found['unit']]}"),)


def run(options: argparse.Namespace) -> int:
    """Start, wait for each model, and leave the server running or stay with it."""
    from tritongen.serving.up import run_command, up

    wanted = replace(
        wanted_server(options), timeout_s=options.timeout, keep_going=options.keep_going
    )
    if options.dry_run:
        _show_command(run_command(Path.cwd(), options.repository, wanted), options.format)
        return int(ExitCode.OK)
    refuse_to_serve(options)
    with output.ProgressBar() as bar:
        result = up(Path.cwd(), options.repository, wanted, bar)
    if not options.foreground:
        return show(result, options.format)
    from tritongen.serving.lifecycle import down

    try:
        code = show(result, options.format)
        _follow(result)
    finally:
        down(Path.cwd())
    return code


def wanted_server(options: argparse.Namespace) -> "UpOptions":
    """What `add_server_options` was given.

    Raises:
        InvalidInputError: TG009, two of them exclude each other; TG819, an address is one that
            others reach.
    """
    from tritongen.serving.preflight import is_loopback
    from tritongen.serving.protocol import ModelControl, Ports
    from tritongen.serving.server_spec import UpOptions
    from tritongen.triton.server import RuntimeName

    if not options.expose and not is_loopback(options.host):
        raise InvalidInputError(
            "TG819",
            f"on {options.host} others reach the server, which has no password",
            where="--host",
            fix="Leave --host out, or add --expose where a firewall or a proxy guards the ports.",
        )
    if options.image and options.runtime == "embedded":
        raise InvalidInputError(
            "TG009", "--image and --runtime embedded exclude each other", fix="Leave one out."
        )
    given = tuple(options.server_flag)
    if not options.expose and (opening := sorted(_OPENING & set(dict(given)))):
        raise InvalidInputError(
            "TG819",
            f"--{opening[0]} listens on every address of this machine",
            where="--server-flag",
            fix="Leave it out, or add --expose where a firewall or a proxy guards the ports.",
        )
    return UpOptions(
        runtime=None if options.runtime == "auto" else RuntimeName(options.runtime),
        ports=Ports(options.http_port, options.grpc_port, options.metrics_port),
        host=options.host,
        wheel=options.triton_wheel,
        image=options.image,
        user=options.user,
        read_only=False if options.writable else None,
        pinned_pool_bytes=options.pinned_pool,
        cuda_pool_bytes=options.cuda_pool,
        flags=(*_LOG_LEVELS[options.log_level], *(options.response_cache or ()), *given),
        model_control=ModelControl(options.model_control),
        passed=tuple(options.env),
    )


def _show_command(command: "RunCommand", form: str) -> None:
    """Print the command, and beside it why it names that image."""
    image = command.image
    if form == "json":
        output.emit_json(
            {"docker_run": command.line, "image": image.reference, "reason": image.reason}
        )
        return
    output.remark(f"image {image.reference}: {image.reason}")
    say(command.line, wrap=False)


def show(result: "UpResult", form: str) -> int:
    """Print a server that is up, as text or as JSON; the exit code, by its models."""
    output.present(form, lambda: _json(result), lambda: _print(result))
    sys.stdout.flush()
    return int(output.readiness(result.models))


def _json(result: "UpResult") -> dict[str, object]:
    state = result.server.state
    return {
        "runtime": state.runtime,
        "reason": result.reason,
        "endpoints": state.endpoints,
        "models": output.states_json(result.models),
        "log": state.log,
        "image": state.image,
        "docker_run": result.server.run_line,
    }


def _print(result: "UpResult") -> None:
    state, ends = result.server.state, result.server.endpoints
    say(f"runtime {state.runtime.value}: {result.reason}")
    output.print_findings(result.warnings)
    output.print_states(result.models)
    say(f"http {ends.http}  grpc {ends.grpc}  metrics {ends.metrics}")
    say(f"log {state.log}")
    if result.server.run_line:
        say(f"image {state.image}")
        say(dim(result.server.run_line), wrap=False)
    calls = [f"tritongen client {quote(model.name)}" for model in result.models[:1]]
    steps = ("tritongen verify", *calls, "tritongen probe --concurrency 8", "tritongen down")
    output.suggest(*steps)


def _follow(result: "UpResult") -> None:
    """Print the log until Ctrl-C or SIGTERM.

    Raises:
        EnvironmentProblem: TG812, the server ended by itself.
    """
    try:
        for line in result.server.follow(_FOLLOWED_LINES):
            output.say_lines(line, stream=sys.stderr)
    except KeyboardInterrupt:
        return  # the asked-for end
    raise EnvironmentProblem("TG812", "the server ended", where=result.server.state.log)
