"""Refusals that are not Triton's own: of a proxy, a gateway or a managed endpoint before it."""

import re
from collections.abc import Mapping
from http import HTTPStatus

from tritongen.errors import EnvironmentProblem
from tritongen.triton.http_channel import ForeignAnswerError, read_json

# Triton sends none of them, but 403 for a restricted API.
_CODES = {401: "TG861", 403: "TG861", 429: "TG862", 502: "TG814", 503: "TG814", 504: "TG814"}
_FIXES = {
    404: "Check the path of the address: every request goes to ADDRESS/v2/….",
    **dict.fromkeys(
        (502, 503, 504), "See that Triton runs, and that the proxy before it finds it."
    ),
}
_TITLE = re.compile(rb"<title>([^<]{1,200})</title>", re.IGNORECASE)
_MAX_BYTES = 2_000  # Chosen: of a text that is no JSON.


def stands_between(status: int) -> bool:
    """Whether a status is that of something before Triton."""
    return status in _CODES


def refusal(
    status: int, content: bytes | bytearray, headers: Mapping[str, str], where: str
) -> EnvironmentProblem:
    """The error of an answer that refuses.

    Args:
        status: of HTTP.
        content: Triton's JSON, or whatever something else says.
        headers: names in lower case.
        where: the server's address.
    """
    try:
        found = read_json(content)
    except ForeignAnswerError:
        found = None
    if isinstance(found, dict) and "error" in found and status not in {401, 429}:
        return EnvironmentProblem("TG815", str(found["error"]), where=where)
    page = content.lstrip()[:1] == b"<"
    code = _CODES.get(status) or ("TG839" if page else "TG815")
    text = told(status, content, headers)
    return EnvironmentProblem(code, text, where=where, fix=_FIXES.get(status, ""))


def told(status: int, content: bytes | bytearray, headers: Mapping[str, str]) -> str:
    """The status, and what else an answer says that is not Triton's; of a page its title."""
    head = bytes(content[:_MAX_BYTES])
    if head.lstrip().startswith(b"<"):
        title = _TITLE.search(head)
        head = title[1] if title else b""
    text = " ".join(head.decode("utf-8", "replace").split())
    if not text.startswith(str(status)):
        known = {one.value: f"{one.value} {one.phrase}" for one in HTTPStatus}
        text = ": ".join(filter(None, (known.get(status, f"status {status}"), text)))
    for name, words in (("retry-after", "Retry-After: {}"), ("location", "it redirects to {}")):
        if value := headers.get(name, "")[:200]:
            text += f", {words.format(value)}"
    return text
