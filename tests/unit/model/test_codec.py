"""Dataclasses to JSON and back, by their fields."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest

from tritongen.model.codec import (
    Digits,
    JsonKey,
    decode,
    decode_text,
    encode,
    significant,
    text_of,
    view,
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Point:
    at: tuple[float, float | None]
    colour: Colour = Colour.RED


@dataclass(frozen=True, slots=True)
class Shape:
    name: str
    size: Annotated[float | None, JsonKey("size_mm"), Digits(2)]
    points: tuple[Point, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    longest: float | None = math.inf
    other: "Point | Shape | None" = None

    @property
    def corners(self) -> int:
        return len(self.points)


SHAPE = Shape("line", 1.23456, (Point((0.0, math.nan)), Point((1.0, 2.0), Colour.BLUE)))


def test_what_equals_its_default_is_left_out_of_what_is_stored():
    assert encode(SHAPE) == {
        "name": "line",
        "size_mm": 1.23,
        "points": [{"at": [0.0, None]}, {"at": [1.0, 2.0], "colour": "blue"}],
    }
    assert text_of(Shape("x", None)) == '{"name": "x", "size_mm": null}'


def test_a_whole_document_has_every_field_in_their_order():
    found = encode({"shape": SHAPE, "path": Path("a/b")}, whole=True)
    assert list(found["shape"]) == ["name", "size_mm", "points", "notes", "longest", "other"]
    assert found["shape"]["longest"] is None
    assert found["shape"]["points"][0] == {"at": [0.0, None], "colour": "red"}
    assert found["path"] == "a/b"


def test_a_view_is_a_part_of_a_dataclass_with_its_properties():
    assert view(SHAPE, "corners", "size", "name") == {"corners": 2, "size_mm": 1.23, "name": "line"}


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_written_is_read(whole):
    back = decode(Shape, encode(SHAPE, whole=whole))
    assert back.points == (Point((0.0, None)), SHAPE.points[1])
    assert (back.name, back.size, back.other) == ("line", 1.23, None)
    assert back.longest == (None if whole else math.inf)


def test_a_union_is_read_as_the_first_that_fits():
    assert decode(Shape, {"name": "", "size_mm": 1, "other": {"at": [1, 2]}}).other == Point((1, 2))
    inner = {"name": "i", "size_mm": None}
    assert decode(Shape, {"name": "", "size_mm": 1.0, "other": inner}).other == Shape("i", None)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "document: expected a mapping"),
        ({"name": "x"}, "document: size_mm is missing"),
        ({"name": "x", "size": 1.0}, "document: unknown key size"),
        ({"name": 1, "size_mm": 1.0}, "name: expected str, got 1"),
        ({"name": "x", "size_mm": "y"}, "size_mm: expected"),
        ({"name": "x", "size_mm": 1.0, "points": [{"at": [1.0]}]}, r"points\[0\].at: expected 2"),
        (
            {"name": "x", "size_mm": 1.0, "points": [{"at": [1, 2], "colour": "green"}]},
            r"points\[0\].colour: expected one of \['red', 'blue'\]",
        ),
        ({"name": "x", "size_mm": 1.0, "points": [{"at": [None, 1]}]}, r"points\[0\].at\[0\]"),
        ({"name": "x", "size_mm": 1.0, "notes": {"a": True}}, "notes.a: expected int, got True"),
    ],
)
def test_a_fault_is_told_with_its_path(value, message):
    with pytest.raises(ValueError, match=message):
        decode(Shape, value)


@pytest.mark.parametrize("text", ["{", b"\xff", "[1]", '{"schema_version": 2}', "[" * 100_000])
def test_a_document_is_json_of_one_version(text):
    with pytest.raises(ValueError, match=r"not JSON|not a shape of schema version 1"):
        decode_text(Shape, text, "shape", 1)


def test_six_digits_are_significant():
    assert significant(123456.789) == 123457.0
    assert [significant(value) for value in (None, math.inf, math.nan)] == [None] * 3
