"""Widths of columns: which give, how far, and which are left out."""

from tritongen.cli.table import _narrowed, fitted


def test_the_widest_column_gives_first_and_none_below_its_floor():
    assert _narrowed([10, 4], [10, 1], 12) == [10, 2]
    assert _narrowed([10, 4], [1, 1], 8) == [4, 4]
    assert _narrowed([10, 4], [1, 1], 14) == [10, 4]
    assert _narrowed([10, 4], [10, 4], 3) == [10, 4], "what cannot give stays too wide"
    assert _narrowed([10, 4], [9, 4], 3) == [9, 4]


def test_a_column_leaves_before_a_line_is_too_long():
    rows = [("a" * 5, "b" * 5, "c" * 5), ("x", "y", "z")]
    whole = 5 * 3 + 2 * 2
    assert fitted(rows, None, (), len) == ([0, 1, 2], [5, 5, 5])
    assert fitted(rows, whole, (1,), len)[0] == [0, 1, 2]
    assert fitted(rows, whole - 1, (1,), len)[0] == [0, 2]
    assert fitted(rows, 5 + 2 + 4, (1, 2), len)[0] == [0]


def test_a_sentence_gives_before_a_name_is_cut():
    name, sentence = "a_name_of_thirty_six_characters_here", "words of a sentence " * 5
    shown, widths = fitted([("model", "why"), (name, sentence)], 50, (), len)
    assert (shown, widths) == ([0, 1], [len(name), 12])
    assert fitted([("model", "why"), (name, sentence)], 30, (), len)[1] == [24, 8], "at last"
