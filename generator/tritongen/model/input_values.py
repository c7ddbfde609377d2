r"""The little language that describes the values of an input, as written in `tritongen.yaml`.

===================  ========================================  ==========================
text                 values                                    element types
===================  ========================================  ==========================
``int[0,30522)``     whole numbers, upper bound left out       integers and floats
``int[1,5]``         whole numbers, both bounds included       integers and floats
``float[-1,1]``      uniform, ``[a,b)`` leaves the bound out   floats
``normal(0,1)``      normal: mean, standard deviation          floats
``choice(a,"b c")``  one of these, with equal chance           every type
``const(0)``         always this                               every type
``zeros``            zero, false, empty string                 every type
``ones``             one, true                                 every type but BYTES
``string(3,12)``     ASCII letters and digits, least and       BYTES
                     greatest length
``bool``             true or false, with equal chance          BOOL
===================  ========================================  ==========================

Items of `choice` and `const` may stand in double quotes, with ``\"`` and ``\\`` inside them.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tritongen.errors import InvalidInputError
from tritongen.model.tensors import DType

# Longer texts are a mistake, not a description.
_MAX_TEXT = 10_000
_MAX_STRING = 65_536
GRAMMAR = (
    "int[a,b) · int[a,b] · float[a,b] · normal(mean,std) · choice(a,b,…) · const(a) · zeros · "
    "ones · string(min,max) · bool"
)

Item = int | float | bool | bytes


class ValueSource(StrEnum):
    """How values come about."""

    INT = "int"
    FLOAT = "float"
    NORMAL = "normal"
    CHOICE = "choice"
    CONST = "const"
    ZEROS = "zeros"
    ONES = "ones"
    STRING = "string"
    BOOL = "bool"


@dataclass(frozen=True, slots=True)
class Values:
    """A parsed description of an input's values.

    Attributes:
        source: how they come about.
        low: least value or length, or the mean of `ValueSource.NORMAL`.
        high: greatest value or length, or the standard deviation of `ValueSource.NORMAL`.
        closed: whether `high` itself can occur (`ValueSource.FLOAT` only; integers are
            normalised to a closed range).
        items: the values of `ValueSource.CHOICE` and `ValueSource.CONST`, of the element type.
    """

    source: ValueSource
    low: int | float = 0
    high: int | float = 0
    closed: bool = True
    items: tuple[Item, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether every element is the same."""
        if self.source in {ValueSource.CONST, ValueSource.ZEROS, ValueSource.ONES}:
            return True
        if self.source is ValueSource.CHOICE:
            return len(set(self.items)) == 1
        if self.source is ValueSource.NORMAL:
            return self.high == 0
        return self.source in {ValueSource.INT, ValueSource.FLOAT} and self.low == self.high


_FLOAT_MAX: Mapping[DType, float] = {
    DType.FP16: 65504.0,
    DType.BF16: 3.3895313892515355e38,
    DType.FP32: 3.4028234663852886e38,
    DType.FP64: 1.7976931348623157e308,
}


def dtype_bounds(dtype: DType) -> tuple[int | float, int | float]:
    """Least and greatest finite value of a numeric type; (0, 1) for BOOL, (0, 0) for BYTES."""
    if dtype.is_integer:
        bits = dtype.itemsize * 8
        if dtype.value.startswith("UINT"):
            return 0, 2**bits - 1
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if dtype.is_float:
        return -_FLOAT_MAX[dtype], _FLOAT_MAX[dtype]
    return (0, 1) if dtype is DType.BOOL else (0, 0)


def parse_values(text: str, dtype: DType) -> Values:
    """The description behind a text; see the module for the grammar.

    Args:
        text: such as ``int[0,30522)``; blanks around it and around numbers do not matter.
        dtype: the element type that the values are for.

    Raises:
        InvalidInputError: TG304, the text is not of the grammar, or does not suit the type.
    """
    stripped = text.strip()
    if not stripped or len(stripped) > _MAX_TEXT:
        raise _fault(text, "is empty" if not stripped else f"is longer than {_MAX_TEXT}")
    word = re.match(r"[a-z]+", stripped)
    source = next((s for s in ValueSource if word and s.value == word.group()), None)
    if source is None:
        raise _fault(text, "is not a description of values")
    rest = stripped[len(source.value) :].strip()
    try:
        parse = _PARSERS.get(source)
        return _parse_bare(source, rest, dtype) if parse is None else parse(rest, dtype)
    except _NotOfGrammarError as fault:
        raise _fault(text, str(fault)) from None


def default_values(name: str, dtype: DType) -> str:
    """The description that suits an input of which only name and type are known.

    Masks are all ones, so that nothing is masked; lengths are 1, which no sequence is too short
    for; a sample rate is 16 kHz. Everything else follows the type.
    """
    words = set(re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    numeric = dtype is not DType.BYTES
    if numeric and any("mask" in word for word in words):
        return "ones"
    if dtype.is_integer and words & {"len", "lens", "length", "lengths", "seqlen"}:
        return "ones"
    if dtype.is_integer and dtype.itemsize > 1 and (words == {"sr"} or words >= {"sample", "rate"}):
        return "const(16000)"
    if dtype.is_float:
        return "float[0,1)"
    if dtype.is_integer:
        return "int[0,10)"
    return "bool" if dtype is DType.BOOL else "string(3,12)"


class _NotOfGrammarError(Exception):
    """What is wrong, as the end of a sentence that begins with the text."""


def _fault(text: str, what: str) -> InvalidInputError:
    return InvalidInputError(
        "TG304", f"values {_shown(text)}: {what}", fix=f"Write one of: {GRAMMAR}."
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")


def _allow(dtype: DType, allowed: bool, source: ValueSource) -> None:
    if not allowed:
        raise _NotOfGrammarError(f"`{source}` does not describe values of type {dtype}")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _NotOfGrammarError(f"{_shown(text.strip())} is not a number") from None
    if not math.isfinite(value):
        raise _NotOfGrammarError(f"{_shown(text.strip())} is not finite")
    return value


def _integer(text: str) -> int:
    if not re.fullmatch(r"\s*[+-]?\d{1,20}\s*", text, re.ASCII):
        raise _NotOfGrammarError(f"{_shown(text.strip())} is not a whole number")
    return int(text)


def _pair(rest: str, pattern: str, form: str) -> tuple[str, str]:
    match = re.fullmatch(pattern, rest)
    if match is None:
        raise _NotOfGrammarError(f"is not of the form {form}")
    return match["a"], match["b"]


_RANGE = r"\[(?P<a>[^,\[\]()]+),(?P<b>[^,\[\]()]+)[\])]"
_ARGUMENTS = r"\((?P<a>[^,\[\]()]+),(?P<b>[^,\[\]()]+)\)"


def _check_range(low: float, high: float, dtype: DType) -> None:
    least, greatest = dtype_bounds(dtype)
    if low > high:
        raise _NotOfGrammarError("the range is empty")
    if low < least or high > greatest:
        raise _NotOfGrammarError(f"the range is outside of {dtype}, {least} to {greatest}")


def _parse_int(rest: str, dtype: DType) -> Values:
    _allow(dtype, dtype.is_integer or dtype.is_float, ValueSource.INT)
    first, second = _pair(rest, _RANGE, "int[a,b) or int[a,b]")
    low, high = _integer(first), _integer(second)
    if rest.endswith(")"):
        high -= 1
    _check_range(low, high, dtype)
    return Values(ValueSource.INT, low, high)


def _parse_float(rest: str, dtype: DType) -> Values:
    _allow(dtype, dtype.is_float, ValueSource.FLOAT)
    first, second = _pair(rest, _RANGE, "float[a,b) or float[a,b]")
    low, high, closed = _number(first), _number(second), rest.endswith("]")
    _check_range(low, high, dtype)
    if low == high and not closed:
        raise _NotOfGrammarError("the range is empty")
    return Values(ValueSource.FLOAT, low, high, closed)


def _parse_normal(rest: str, dtype: DType) -> Values:
    _allow(dtype, dtype.is_float, ValueSource.NORMAL)
    first, second = _pair(rest, _ARGUMENTS, "normal(mean,std)")
    mean, deviation = _number(first), _number(second)
    if deviation < 0:
        raise _NotOfGrammarError("a standard deviation is not negative")
    _check_range(mean, mean + deviation, dtype)
    return Values(ValueSource.NORMAL, mean, deviation)


def _parse_string(rest: str, dtype: DType) -> Values:
    _allow(dtype, dtype is DType.BYTES, ValueSource.STRING)
    first, second = _pair(rest, _ARGUMENTS, "string(min,max)")
    low, high = _integer(first), _integer(second)
    if not 0 <= low <= high <= _MAX_STRING:
        raise _NotOfGrammarError(f"lengths go from 0 to {_MAX_STRING}, the smaller one first")
    return Values(ValueSource.STRING, low, high)


def _parse_choice(rest: str, dtype: DType) -> Values:
    return Values(ValueSource.CHOICE, items=_items(rest, dtype))


def _parse_const(rest: str, dtype: DType) -> Values:
    items = _items(rest, dtype)
    if len(items) != 1:
        raise _NotOfGrammarError("`const` takes one value; `choice` takes several")
    return Values(ValueSource.CONST, items=items)


def _parse_bare(source: ValueSource, rest: str, dtype: DType) -> Values:
    if rest:
        raise _NotOfGrammarError(f"`{source}` takes no arguments")
    _allow(dtype, source is not ValueSource.ONES or dtype is not DType.BYTES, source)
    _allow(dtype, source is not ValueSource.BOOL or dtype is DType.BOOL, source)
    return Values(source)


_PARSERS: Mapping[ValueSource, Callable[[str, DType], Values]] = {
    ValueSource.INT: _parse_int,
    ValueSource.FLOAT: _parse_float,
    ValueSource.NORMAL: _parse_normal,
    ValueSource.CHOICE: _parse_choice,
    ValueSource.CONST: _parse_const,
    ValueSource.STRING: _parse_string,
}

_ITEM = re.compile(
    r'\s*(?:"(?P<quoted>(?:[^"\\]|\\["\\])*)"|(?P<plain>[^",()\s](?:[^",()]*[^",()\s])?))\s*'
)


def _items(rest: str, dtype: DType) -> tuple[Item, ...]:
    if not (rest.startswith("(") and rest.endswith(")") and len(rest) > 2):
        raise _NotOfGrammarError("values stand in parentheses, separated by commas")
    body, position, items = rest[1:-1], 0, []
    while True:
        match = _ITEM.match(body, position)
        if match is None:
            raise _NotOfGrammarError(f"no value at {body[position : position + 20]!r}")
        quoted = match["quoted"]
        text = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        items.append(_item(text, dtype))
        position = match.end()
        if position == len(body):
            return tuple(items)
        if body[position] != ",":
            raise _NotOfGrammarError(
                f"a comma is missing before {body[position : position + 20]!r}"
            )
        position += 1


def _item(text: str, dtype: DType) -> Item:
    if dtype is DType.BYTES:
        return text.encode("utf-8")
    if dtype is DType.BOOL:
        lowered = text.lower()
        if lowered not in {"true", "false", "1", "0"}:
            raise _NotOfGrammarError(f"{_shown(text)} is neither true nor false")
        return lowered in {"true", "1"}
    value = _integer(text) if dtype.is_integer else _number(text)
    _check_range(value, value, dtype)
    return value
