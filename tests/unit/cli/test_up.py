"""The command `up` refuses what is wrong in itself, and starts nothing."""

import pytest

from tritongen.cli import main

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
