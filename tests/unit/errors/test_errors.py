"""What Python says of a file becomes a phrase for a message."""

import errno
import os

import pytest

from tritongen.errors import (
    CODES,
    EnvironmentProblem,
    TritongenError,
    describe_error,
    words_of,
)


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/a/b"),
         "no such file or directory"),
        (PermissionError(errno.EACCES, "Permission denied"), "permission denied"),
        (OSError("the disk is gone"), "the disk is gone"),
        (ValueError("Cannot load file containing pickled data when allow_pickle=False"),
         "no file of arrays, or one with Python objects, which are never loaded"),
        (ValueError("cannot reshape"), "cannot reshape"),
        (KeyError("Pickle"), "'Pickle'"),
        (UnicodeDecodeError("utf-8", b"ab\xff", 2, 3, "invalid start byte"),
         "not UTF-8 text: byte 2 is 0xff"),
    ],
)  # fmt: skip
def test_a_problem_is_described_without_path_and_number(problem: Exception, said: str):
    assert describe_error(problem) == said


def test_the_words_of_a_library_come_whatever_their_encoding():
    assert words_of(RuntimeError("no such operator")) == "no such operator"
    raw = "Gerät fehlt".encode("latin-1")
    assert words_of(UnicodeDecodeError("utf-8", raw, 3, 4, "invalid")) == "Ger�t fehlt"


def test_an_error_names_its_place_and_its_own_fix_or_the_general_one():
    bare = TritongenError("TG002", "is not there")
    assert (str(bare), bare.fix, bare.exit_code) == ("is not there", CODES["TG002"].fix, 2)
    placed = EnvironmentProblem("TG004", "is full", where="a/b", fix="Empty it.", details=["x"])
    assert (str(placed), placed.fix, placed.details) == ("a/b: is full", "Empty it.", ("x",))
    assert placed.exit_code == 3
