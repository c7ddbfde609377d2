"""Faults of tritongen.yaml are told all at once, with their places."""

import pytest

from tritongen.errors import InvalidInputError
from tritongen.intent.intent_faults import Fault, raise_faults


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("models.ocr.rate.peak", "must not be below average", 7),
         "line 7: models.ocr.rate.peak: must not be below average"),
        (Fault("target", "is missing"), "target: is missing"),
        (Fault("", "is no mapping", 1), "line 1: document: is no mapping"),
    ],
)  # fmt: skip
def test_a_fault_says_line_path_and_what_must_hold(fault: Fault, said: str):
    assert str(fault) == said


def test_no_fault_is_no_error():
    raise_faults([], "tritongen.yaml")


def test_all_faults_are_raised_together_in_the_order_of_the_file():
    faults = [Fault("b", "second", 9), Fault("z", "first", 2, "TG305"), Fault("a", "third", 9)]
    with pytest.raises(InvalidInputError) as raised:
        raise_faults(faults, "tritongen.yaml")
    assert (raised.value.code, raised.value.where) == ("TG305", "tritongen.yaml")
    assert "3 faults in the file" in str(raised.value)
    assert list(raised.value.details) == [
        "line 2: z: first [TG305]",
        "line 9: a: third [TG304]",
        "line 9: b: second [TG304]",
    ]
    with pytest.raises(InvalidInputError, match="one fault in the file"):
        raise_faults(faults[:1], "tritongen.yaml")
