"""How a server elsewhere is reached: whom to trust, and what to send with every request."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tritongen.errors import InvalidInputError, describe_error
from tritongen.model.client_protocol import ClientProtocol
from tritongen.triton.address import Endpoint, Tls
from tritongen.triton.server_state import own_endpoint

# The variable that a bearer token is taken from.
TOKEN = "TRITONGEN_TOKEN"  # noqa: S105  (its name)
# Chosen: with what else a request says they fit the first frame of HTTP/2, of 16 KiB.
_MAX_BYTES = 12_288
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VALUE = re.compile(r"[ -~]*")
# What a request says of itself and of its connection.
_OWN = frozenset(
    ("accept-encoding", "connection", "content-encoding", "content-length", "content-type")
) | {"expect", "inference-header-content-length", "te", "transfer-encoding", "upgrade"}
_HOST = "host"


@dataclass(frozen=True, slots=True)
class Access:
    """How servers are reached, whichever their addresses are.

    Attributes:
        tls: whom to trust and how to be known; None for what the address's scheme says.
        headers: sent with every request; they may be secret, as those of an `Endpoint`.
    """

    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def endpoint(
        self, url: str, protocol: ClientProtocol | None = None, project: Path | None = None
    ) -> Endpoint:
        """An address with TLS and headers.

        Args:
            url: see `Endpoint.parse`.
            protocol: that the command asks for; None for the address's own.
            project: whose server's key is sent to that server; None for the current folder.

        Raises:
            InvalidInputError: TG304, it is none.
        """
        found = Endpoint.parse(url, self.tls, self.headers, protocol)
        if found.protocol is ClientProtocol.GRPC and _HOST in map(str.lower, self.headers):
            raise InvalidInputError("TG304", "the header Host is for HTTP, not for gRPC")
        return own_endpoint(project or Path(), found)


def read_headers(lines: Iterable[str], file: Path | None, token: str) -> Mapping[str, str]:
    """The headers of a command line, of a file and of a token.

    Args:
        lines: ``NAME: VALUE`` each.
        file: with one such line each, which keeps secrets off the command line.
        token: sent as ``Authorization: Bearer …`` where that header is not given; empty for none.

    Raises:
        InvalidInputError: TG304, one is none; TG003, the file cannot be read. No message repeats
            a line: it may be a secret that was put in the wrong place.
    """
    found = {}
    given = [*lines, *(_lines_of(file) if file is not None else ())]
    for number, line in enumerate(given, 1):
        name, separator, value = (part.strip() for part in line.partition(":"))
        if not separator or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            fix = f"Write it like 'X-Key: abc', in ASCII; a bearer token alone goes into {TOKEN}."
            raise InvalidInputError("TG304", f"header {number} is not NAME: VALUE", fix=fix)
        if name.lower() in _OWN:
            fix = "Leave it out: every request says it by itself."
            raise InvalidInputError("TG304", f"header {name} cannot be given", fix=fix)
        found[name] = value
    if token and "authorization" not in map(str.lower, found):
        if not _VALUE.fullmatch(token) or " " in token:
            raise InvalidInputError("TG304", "is not a token", where=TOKEN)
        found["Authorization"] = f"Bearer {token}"
    if sum(len(name) + len(value) for name, value in found.items()) > _MAX_BYTES:
        raise InvalidInputError("TG304", f"the headers have more than {_MAX_BYTES:,} bytes")
    return found


def _lines_of(file: Path) -> list[str]:
    try:
        with file.open("rb") as opened:  # it may be a pipe, from a store of secrets
            text = opened.read(_MAX_BYTES + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG003", what, where=str(file)) from problem
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        fix = "Write one header a line, such as Authorization: Bearer abc."
        raise InvalidInputError("TG304", "the file holds no header", where=str(file), fix=fix)
    return lines
