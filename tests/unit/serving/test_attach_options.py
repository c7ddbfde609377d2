"""How a server elsewhere is addressed: headers of the command line and of a file."""

import pytest

from tritongen.errors import InvalidInputError
from tritongen.serving.attached import AttachOptions


def test_headers_of_the_command_line_and_of_a_file_are_sent_together(tmp_path):
    file = tmp_path / "headers"
    file.write_text("X-Key: secret\n\nX-Other: 1\n")
    options = AttachOptions("host:8000", headers=("Authorization: Bearer a",), header_file=file)
    found = {name.lower(): value for name, value in options.endpoint().headers.items()}
    assert found == {"authorization": "Bearer a", "x-key": "secret", "x-other": "1"}


def test_without_a_file_there_are_those_of_the_command_line():
    assert dict(AttachOptions("host:8000", headers=("a: b",)).endpoint().headers) == {"a": "b"}


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidInputError) as caught:
        AttachOptions("host:8000", header_file=tmp_path / "none").endpoint()
    assert caught.value.code == "TG003"
    assert str(tmp_path / "none") in caught.value.where


def test_what_is_no_header_is_refused_without_being_repeated():
    with pytest.raises(InvalidInputError) as caught:
        AttachOptions("host:8000", headers=("a: b", "my-secret")).endpoint()
    assert caught.value.code == "TG304"
    assert "header 2" in caught.value.what
    assert "my-secret" not in str(caught.value)
