"""The options by which a command reaches a server that somebody else runs."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritongen.cli.output import remark
from tritongen.cli.parser import CommandParser
from tritongen.errors import CODES, InvalidInputError

if TYPE_CHECKING:
    from tritongen.cli.parser import OptionGroup
    from tritongen.triton.access import Access

ADDRESS = (
    "HOST:PORT, or with http://, https://, grpc:// or grpcs:// before it and a path behind it "
    "(default: this project's server)"
)
# The option, and perf_analyzer's name for it.
_HEADER = frozenset(("--header", "-H"))
_ONLY_ELSEWHERE = ("ca", "cert", "key", "insecure", "header", "header_file")


def add_server_options(
    parser: CommandParser,
    url: "OptionGroup | None" = None,
    **settings: Any,  # noqa: ANN401  (argparse's own)
) -> "OptionGroup":
    """The group of `-u` and of how that server is reached; see `server_access`.

    Args:
        parser: of the command.
        url: where `-u` stands instead of in the group.
        **settings: of `-u`, over the usual ones.
    """
    group = parser.add_argument_group("a server that runs elsewhere")
    usual = {"default": "", "metavar": "ADDRESS", "help": ADDRESS}
    (url or group).add_argument("-u", "--url", **{**usual, **settings})
    group.add_argument("--ca", type=Path, metavar="PEM", help="authorities to trust")
    group.add_argument("--cert", type=Path, metavar="PEM", help="this client's certificate")
    group.add_argument("--key", type=Path, metavar="PEM", help="its private key")
    parser.add_flags(group, insecure="accept any certificate")
    group.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'",
        help="for every request; may be repeated (a bearer token: TRITONGEN_TOKEN)",
    )  # fmt: skip
    group.add_argument(
        "--header-file", type=Path, metavar="FILE",
        help="the same, one a line: keeps secrets out of the process list",
    )  # fmt: skip
    return group


def server_access(options: argparse.Namespace, *, secured: bool = False) -> "Access":
    """How the server of `-u` is reached; the project's own needs nothing of it.

    Args:
        options: of a command with `add_server_options`.
        secured: speak TLS where the address has no scheme.

    Raises:
        InvalidInputError: TG009, there is no `-u`; TG304, a header is none; TG003, the file of
            headers cannot be read.
    """
    from tritongen.triton.access import TOKEN, Access, read_headers
    from tritongen.triton.address import Tls

    token = os.environ.pop(TOKEN, "").strip()  # no process that is started from here has it
    if not options.url:
        for name in _ONLY_ELSEWHERE:
            if getattr(options, name):
                flag = name.replace("_", "-")
                raise InvalidInputError("TG009", f"--{flag} is for a server named with --url")
        return Access()
    if options.key is not None and options.cert is None:
        raise InvalidInputError("TG009", "--key belongs to a certificate: name it with --cert")
    headers = read_headers(options.header, options.header_file, token)
    if options.header_file is not None and options.header_file.stat().st_mode & 0o004:
        fix = CODES["TG014"].fix
        remark(
            f"warning TG014 {options.header_file}: every user of this machine can read it. {fix}"
        )
    files = (options.ca, options.cert, options.key)
    secured = secured or options.insecure or any(file is not None for file in files)
    return Access(Tls(*files, verify=not options.insecure) if secured else None, headers)


def shown_command(arguments: Sequence[str]) -> list[str]:
    """A command line as it may be stored: of headers their names, of addresses no password."""
    from tritongen.triton.address import shown_address, shown_header

    shown, header = [], False
    for word in arguments:
        flag, separator, value = word.partition("=")
        if header:
            shown.append(shown_header(word))
        elif flag in _HEADER and separator:
            shown.append(f"{flag}={shown_header(value)}")
        elif word.startswith("-H") and word != "-H":
            shown.append(f"-H{shown_header(word[2:])}")
        else:
            shown.append(shown_address(word) if "://" in word else word)
        header = word in _HEADER
    return shown
