"""Text of strangers where it is shown."""

import json
import unicodedata

import pytest
import yaml

from support.hostile_names import PIECES, assert_harmless
from tritongen.model.printable import (
    UNSAFE,
    cell_text,
    json_text,
    printable,
    printable_line,
    printable_page,
    spreadsheet_cell,
)


def test_every_control_and_direction_character_is_unsafe():
    kinds = {"Cc", "Zl", "Zp"}
    directions = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    marks = {"\u200e", "\u200f", "\u061c"}
    for character in map(chr, range(0x110000)):
        unsafe = (
            unicodedata.category(character) in kinds
            or unicodedata.bidirectional(character) in directions
            or character in marks
        )
        assert bool(UNSAFE.match(character)) == unsafe, hex(ord(character))


@pytest.mark.parametrize("piece", PIECES)
def test_a_line_stays_one_harmless_line(piece):
    for text in (piece, f"x{piece}", f"  {piece}y", piece * 3):
        line = printable_line(text)
        assert "\n" not in line
        assert_harmless(line)
        assert printable_line(line) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202eabc", r"\u202eabc"),
        ("::error::x", r"\x3a:error::x"),
        ("\u00a0 ::error::x", "\u00a0 \\x3a:error::x"),
        ("a ##[error]b", r"a #\x23[error]b"),
        ("plain é → 日本 [x] a::b # c ## d", "plain é → 日本 [x] a::b # c ## d"),
    ],
)
def test_what_is_unsafe_is_shown_and_the_rest_is_left(text, shown):
    assert printable_line(text) == shown


@pytest.mark.parametrize("piece", PIECES)
def test_json_and_yaml_read_the_same_text_back(piece):
    document = {piece: [piece, {"x": piece * 2}]}
    for indent in (None, 2):
        text = json_text(document, indent=indent)
        assert_harmless(text)
        assert json.loads(text) == document
        assert yaml.safe_load(text) == document


def test_a_page_keeps_its_lines():
    assert printable_page("<p>\n  a\x1b\n::b\n") == "<p>\n  a\\x1b\n\\x3a:b\n"


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("\tx", r"'\tx"),
        ("\rx", r"'\rx"),
        ("-1.5", "-1.5"),
        ("+1e-3", "+1e-3"),
        ("-1\n=x", r"'-1\n=x"),
        ("model", "model"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula_and_numbers_stay_numbers(cell, written):
    assert spreadsheet_cell(cell) == written
    if printable(cell) == cell:
        assert cell_text(written) == cell
