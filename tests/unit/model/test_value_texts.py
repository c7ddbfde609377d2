"""A description of values has a bound."""

import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.input_values import parse_values
from tritongen.model.tensors import DType


def test_a_text_of_just_the_greatest_length():
    padded = "int[" + " " * (10_000 - len("int[0,9)")) + "0,9)"
    assert len(padded) == 10_000
    parse_values(padded, DType.INT32)
    parse_values(f"  {padded}  ", DType.INT32)
    with pytest.raises(InvalidInputError, match="is longer than 10000"):
        parse_values(padded.replace("[", "[ "), DType.INT32)
    with pytest.raises(InvalidInputError, match="is empty"):
        parse_values("  ", DType.INT32)
