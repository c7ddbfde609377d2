"""The command `up` in this process: what it changes for the whole process it puts back."""

import gc

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
    ],
    ids=["no repository", "dry run", "options that exclude each other", "no number"],
)
def test_garbage_is_collected_again_after_a_refusal(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert gc.isenabled()
    assert main(["up", *FREE, *words]) == 2
    assert gc.isenabled()
