"""`tritongen client`."""

import argparse
from pathlib import Path

from tritongen.cli.output import emit, say, say_error
from tritongen.cli.parser import CommandParser, address
from tritongen.errors import ExitCode, InvalidInputError

EXAMPLES = """\
  tritongen client magika                              a curl command that calls it
  tritongen client magika --lang python                the same with tritonclient
  tritongen client magika --lang python-async --protocol grpc
  tritongen client magika --lang openapi               its OpenAPI 3.1 document
  tritongen client magika --write examples             each of them as a file
"""
_LANGUAGES = ("curl", "python", "python-async", "openapi")


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_repository_option("-r", "--repository", purpose="that the server serves")
    parser.add_argument(
        "--lang", choices=_LANGUAGES, default="curl", help="of the example (default: %(default)s)"
    )
    parser.add_argument(
        "--protocol", choices=("http", "grpc"), default="http",
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
    from tritongen import api

    if options.write is not None:
        _write(options)
        return int(ExitCode.OK)
    example = api.client(
        options.model,
        repository=options.repository,
        language=options.lang,
        protocol=options.protocol,
        url=options.url,
    )
    emit(example.text)
    return int(example.exit_code)


def _write(options: argparse.Namespace) -> None:
    """Every example of the model as a file; what it cannot be called with is named."""
    from tritongen.api.calling import clients
    from tritongen.system.files import translated, write_atomic

    found = clients(
        options.model, repository=options.repository, protocol=options.protocol, url=options.url
    )
    with translated(options.write):
        options.write.mkdir(parents=True, exist_ok=True)
    for language, example in found.items():
        if isinstance(example, InvalidInputError):
            say_error(f"{language}: {example.what}")
            continue
        path = options.write / language.file_name(options.model)
        write_atomic(path, example.text.encode())
        say(f"wrote {path}")
