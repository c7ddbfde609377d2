"""Compressed answers are unpacked within the size that others have."""

import gzip
import zlib

import pytest

from tritongen.probe.engines.client_bounds import unpacked
from tritongen.probe.engines.http_messages import MalformedResponseError

CONTENT = b"tensor" * 100


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_what_was_compressed_comes_back(pack):
    assert unpacked(pack(CONTENT), len(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gzip.compress(bytes(1 << 24)), "more than 600 bytes"),
        (gzip.compress(CONTENT)[:-9], "cut short"),
        (CONTENT, "cannot be decompressed"),
        (b"", "cut short"),
    ],
)
def test_what_is_too_large_or_none_is_refused(data, said):
    with pytest.raises(MalformedResponseError, match=said):
        unpacked(data, len(CONTENT))
