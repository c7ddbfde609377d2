"""A log that grows, read line by line."""

from pathlib import Path

import pytest

from tritongen.serving.growing_log import follow_file, lines_of


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([], []),
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"\nb", b"c\n", b"d"], ["a", "bc", "d"]),
        ([b"\xc3", b"\xa4\r\n\n"], ["ä", ""]),
        ([b"\xff\n"], ["�"]),
    ],
)
def test_lines_from_pieces_that_are_cut_anywhere(chunks, lines):
    assert list(lines_of(chunks)) == lines


def test_a_line_without_an_end_is_not_held_back():
    """A model of a served repository may print as much as it likes, without a single line break."""
    chunks = [b"x" * 65_536] * 40 + [b"\nlast\n"]
    *pieces, last = lines_of(chunks)
    assert last == "last"
    assert "".join(pieces) == "x" * 65_536 * 40
    assert max(map(len, pieces)) <= 2 * 65_536


def test_what_is_there_and_what_comes(tmp_path):
    path = tmp_path / "log"
    path.write_text("1\n2\n3\n")
    steps = iter(("4\n", "5\n6", ""))

    def alive() -> bool:
        text = next(steps)
        with path.open("a") as file:
            file.write(text)
        return bool(text)

    assert list(follow_file(path, 2, alive)) == ["2", "3", "4", "5", "6"]


def test_the_last_words_of_a_writer_are_not_lost(tmp_path):
    """They may be written between the last look at the file and the writer's end."""
    path = tmp_path / "log"
    path.touch()

    def alive() -> bool:
        path.write_text("last words\n")
        return False

    assert list(follow_file(path, 5, alive)) == ["last words"]


def test_a_log_that_is_not_there():
    assert list(follow_file(Path("/nowhere/log"), 5, lambda: True)) == []
