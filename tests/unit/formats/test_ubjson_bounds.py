"""UBJSON ends where it is nested too deeply or too long."""

import pytest

from tritongen.formats.parsing import json_documents
from tritongen.formats.parsing.json_documents import ubjson_values
from tritongen.formats.parsing.wire import DamagedError


def test_so_deep_and_no_deeper():
    deepest = json_documents._MAX_DEPTH
    assert ubjson_values(b"[" * deepest + b"Z" + b"]" * deepest, ()) == {}
    with pytest.raises(DamagedError, match="nested too deeply or too long"):
        ubjson_values(b"[" * (deepest + 1) + b"Z" + b"]" * (deepest + 1), ())


def test_so_many_values_and_no_more(monkeypatch):
    monkeypatch.setattr(json_documents, "_MAX_VALUES", 4)
    assert ubjson_values(b"[ZZZ]", (), {()}) == {(): 3}
    with pytest.raises(DamagedError, match="nested too deeply or too long"):
        ubjson_values(b"[ZZZZ]", ())
