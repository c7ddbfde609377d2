"""`tritongen client`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.cli.output import emit, say, say_error
from tritongen.cli.parser import CommandParser, address, existing_folder
from tritongen.errors import EnvironmentProblem, ExitCode, InvalidInputError

if TYPE_CHECKING:
    from tritongen.repository.model_interface import ModelInterface

EXAMPLES = """\
  tritongen client magika                              a curl command that calls it
  tritongen client magika --lang python                the same with tritonclient
  tritongen client magika --lang python-async --protocol grpc
  tritongen client magika --lang openapi               its OpenAPI 3.1 document
  tritongen client magika --write examples             each of them as a file
"""
_LANGUAGES = ("curl", "python", "python-async", "openapi")
_USUAL = {"http": "localhost:8000", "grpc": "localhost:8001"}


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_repository_option("-r", "--repository", purpose="that the server serves")
    parser.add_argument(
        "--lang", choices=_LANGUAGES, default="curl", help="of the example (default: %(default)s)"
    )
    parser.add_argument(
        "--protocol", choices=tuple(_USUAL), default="http",
        help="that it speaks (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "-u", "--url", type=address, metavar="HOST:PORT",
        help="of the server, for the protocol (default: this project's server, else localhost)",
    )  # fmt: skip
    parser.add_argument(
        "--write",
        type=Path,
        metavar="DIR",
        help="write every example there instead of printing one",
    )


def run(options: argparse.Namespace) -> int:
    """Print an example, or write all of them."""
    from tritongen.repository.client_examples import Language, client_example
    from tritongen.repository.model_interface import model_interface

    model = model_interface(existing_folder(options.repository), options.model)
    if options.write is not None:
        _write(model, options)
    else:
        at = options.url or _address(options.protocol)
        emit(client_example(model, Language(options.lang), options.protocol, at))
    return int(ExitCode.OK)


def _write(model: "ModelInterface", options: argparse.Namespace) -> None:
    """Every example of the model as a file; what it cannot be called with is named."""
    from tritongen.repository.client_examples import Language, client_example
    from tritongen.system.files import translated, write_atomic

    with translated(options.write):
        options.write.mkdir(parents=True, exist_ok=True)
    for language in Language:
        http = language in {Language.CURL, Language.OPENAPI}
        protocol = "http" if http else "grpc" if model.decoupled else options.protocol
        # An address on the command line is that of one protocol.
        own = options.url if protocol == options.protocol else None
        try:
            text = client_example(model, language, protocol, own or _address(protocol))
        except InvalidInputError as problem:
            say_error(f"{language}: {problem.what}")
            continue
        path = options.write / language.file_name(model.name)
        write_atomic(path, text.encode())
        say(f"wrote {path}")


def _address(protocol: str) -> str:
    """Where this project's server listens, else where Triton does by default."""
    from tritongen.serving.lifecycle import running_server

    try:
        endpoints = running_server(Path.cwd()).endpoints
    except EnvironmentProblem:
        return _USUAL[protocol]
    return endpoints.grpc if protocol == "grpc" else endpoints.http
