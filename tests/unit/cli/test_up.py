"""The command `up` refuses what is wrong in itself, and starts nothing."""

import pytest

from tritongen.cli import main
from tritongen.cli.main import build_parser
from tritongen.cli.up import wanted_server
from tritongen.errors import InvalidInputError
from tritongen.serving.protocol import ModelControl

FREE = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")


@pytest.mark.parametrize(
    "words",
    [
        ("absent",),
        ("absent", "--dry-run"),
        ("--runtime", "embedded", "--image", "name"),
        ("--http-port", "many"),
        ("--image", "-v"),
    ],
    ids=[
        "no repository",
        "dry run",
        "options that exclude each other",
        "no number",
        "no name of an image",
    ],
)
def test_a_refusal(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert main(["up", *FREE, *words]) == 2
    assert list(tmp_path.iterdir()) == []


def wanted(*words):
    return wanted_server(build_parser("up").parse_args(["up", *words]))


def test_flags_cache_and_log_level_are_flags_of_the_server():
    found = wanted(
        "--log-level", "error", "--response-cache", "64MiB", "--model-control", "explicit",
        "--server-flag", "http-thread-count=16", "--server-flag=--trace-config=rate=1",
    )  # fmt: skip
    assert found.model_control is ModelControl.EXPLICIT
    assert found.flags == (
        ("log-info", "false"), ("log-warning", "false"), ("cache-config", "local,size=67108864"),
        ("http-thread-count", "16"), ("trace-config", "rate=1"),
    )  # fmt: skip
    assert wanted("--response-cache", "redis://h:6379").flags == (
        ("cache-config", "redis,host=h"), ("cache-config", "redis,port=6379"),
    )  # fmt: skip
    assert (wanted().flags, wanted().model_control) == ((), ModelControl.NONE)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--server-flag", "http-thread-count"), "TG009"),
        (("--server-flag", "allow-vertex-ai=true"), "TG819"),
        (("--response-cache", "64"), "TG009"),
        (("--response-cache", "redis://user:word@h:1"), "TG009"),
        (("--model-control", "poll"), "TG009"),
        (("--log-level", "all"), "TG009"),
    ],
)
def test_what_cannot_be_asked_of_the_server(words, code):
    with pytest.raises(InvalidInputError) as caught:
        wanted(*words)
    assert caught.value.code == code


def test_a_guarded_server_may_speak_other_protocols():
    flags = wanted("--expose", "--server-flag", "allow-vertex-ai=true").flags
    assert flags == (("allow-vertex-ai", "true"),)
