"""What a proxy, a gateway or a managed endpoint says instead of Triton."""

import pytest

from tritongen.triton.refusals import refusal

PAGE = b"<html>\n<head><title>%s</title></head><body>nginx</body></html>"


@pytest.mark.parametrize(
    ("status", "content", "headers", "code", "text"),
    [
        (401, b"", {}, "TG861", "401 Unauthorized"),
        (401, b'{"error": "no key"}', {}, "TG861", '401 Unauthorized: {"error": "no key"}'),
        (403, b"RBAC: access denied", {}, "TG861", "403 Forbidden: RBAC: access denied"),
        (403, b'{"error": "restricted"}', {}, "TG815", "restricted"),
        (404, PAGE % b"404 Not Found", {}, "TG839", "404 Not Found"),
        (404, b"", {}, "TG815", "404 Not Found"),
        (
            *(429, PAGE % b"429 Too Many Requests", {"retry-after": "30"}),
            *("TG862", "429 Too Many Requests, Retry-After: 30"),
        ),
        (502, PAGE % b"502 Bad Gateway", {}, "TG814", "502 Bad Gateway"),
        (503, b'{"error": "model is busy"}', {}, "TG815", "model is busy"),
        (599, b"\xff", {}, "TG815", "status 599: \ufffd"),
    ],
)
def test_every_refusal_has_a_code_and_its_words(status, content, headers, code, text):
    found = refusal(status, content, headers, "host:1")
    assert (found.code, found.what, found.where) == (code, text, "host:1")
    assert found.fix
