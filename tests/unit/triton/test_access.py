"""How a server elsewhere is reached: headers of the command line, of a file and of a token."""

import argparse
import os

import pytest

from tritongen.cli.main import build_parser
from tritongen.cli.server_options import server_access, shown_command
from tritongen.errors import InvalidInputError
from tritongen.model.client_protocol import ClientProtocol
from tritongen.triton.access import TOKEN, Access, read_headers


def options(*words: str) -> argparse.Namespace:
    return build_parser("status").parse_args(["status", *words])


def test_headers_of_the_command_line_and_of_a_file_are_sent_together(tmp_path):
    file = tmp_path / "headers"
    file.write_text("X-Key: secret\n\nX-Other: 1\n")
    found = read_headers(("Authorization: Bearer a",), file, "")
    assert found == {"Authorization": "Bearer a", "X-Key": "secret", "X-Other": "1"}


def test_without_a_file_there_are_those_of_the_command_line():
    assert read_headers(("a: b",), None, "") == {"a": "b"}


def test_a_token_stands_in_where_no_authorization_is_given():
    assert read_headers((), None, "t0k.en") == {"Authorization": "Bearer t0k.en"}
    assert read_headers(("authorization: Basic x",), None, "t") == {"authorization": "Basic x"}


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidInputError) as caught:
        read_headers((), tmp_path / "none", "")
    assert caught.value.code == "TG003"
    assert str(tmp_path / "none") in caught.value.where


def test_a_file_without_a_header_is_named(tmp_path):
    file = tmp_path / "token"
    file.write_text("\n \n")
    with pytest.raises(InvalidInputError, match="holds no header") as caught:
        read_headers((), file, "")
    assert (caught.value.code, caught.value.where) == ("TG304", str(file))


@pytest.mark.parametrize(
    "line", ["my-secret", "a b: my-secret", "a: my-secret\x07", "a: my-secrét"]
)
def test_what_is_no_header_is_refused_without_being_repeated(line):
    with pytest.raises(InvalidInputError) as caught:
        read_headers(("a: b", line), None, "")
    assert caught.value.code == "TG304"
    assert "header 2" in caught.value.what
    assert "my-secr" not in str(caught.value) + caught.value.fix


def test_what_a_request_says_itself_cannot_be_given():
    with pytest.raises(InvalidInputError, match="header Content-Length cannot be given"):
        read_headers(("Content-Length: 3",), None, "")


@pytest.mark.parametrize("token", ["two words", "a\nb", "é"])
def test_a_token_that_is_none_is_refused_without_being_repeated(token):
    with pytest.raises(InvalidInputError) as caught:
        read_headers((), None, token)
    assert caught.value.where == TOKEN
    assert token not in str(caught.value)


def test_headers_fit_one_frame():
    with pytest.raises(InvalidInputError, match="more than 12,288 bytes"):
        read_headers(("a: " + "x" * 12_288,), None, "")


def test_another_host_is_asked_for_over_http_alone():
    access = Access(headers={"Host": "model.example"})
    assert access.endpoint("h").headers == {"Host": "model.example"}
    with pytest.raises(InvalidInputError, match="Host is for HTTP"):
        access.endpoint("h", ClientProtocol.GRPC)


def test_no_process_that_is_started_has_the_token(monkeypatch):
    monkeypatch.setenv(TOKEN, " abc\n")
    found = server_access(options("-u", "host"))
    assert found.headers == {"Authorization": "Bearer abc"}
    assert TOKEN not in os.environ
    assert "abc" not in repr(found)


def test_the_project_s_own_server_is_sent_no_token(monkeypatch):
    monkeypatch.setenv(TOKEN, "abc")
    assert server_access(options()) == Access()


def test_a_file_that_all_users_may_read_is_told(tmp_path, capsys):
    file = tmp_path / "headers"
    file.write_text("a: secret\n")
    file.chmod(0o600)
    server_access(options("-u", "host", "--header-file", str(file)))
    assert capsys.readouterr().err == ""
    file.chmod(0o644)
    server_access(options("-u", "host", "--header-file", str(file)))
    told = capsys.readouterr().err
    assert "warning TG014" in told
    assert str(file) in told
    assert "secret" not in told


def test_a_command_is_stored_without_its_secrets():
    words = ["probe", "-u", "https://me:secret@h", "--header", "k: secret", "--header=k: secret"]
    told = " ".join(shown_command([*words, "--header", "secret", "--goal", "p99<5ms@300/s"]))
    assert "secret" not in told
    assert told.endswith("--header k: *** --header=k: *** --header *** --goal p99<5ms@300/s")
