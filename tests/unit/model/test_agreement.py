import numpy as np
import pytest

from tritongen.model.agreement import NEAR_ZERO, TOLERANCES, gap, tells_apart, worst
from tritongen.model.precision import Precision

SINGLE = TOLERANCES[Precision.SINGLE]
NAN, INF = float("nan"), float("inf")


def floats(*values, dtype=np.float32):
    return np.array([values], dtype=dtype)


@pytest.mark.parametrize(
    ("expected", "actual", "exceeds"),
    [
        ((1.0, 2.0), (1.0, 2.0), False),
        ((1.0, 2.0), (1.00001, 2.0), False),
        ((1.0, 2.0), (1.01, 2.0), True),
        ((1e-9, 1000.0), (1e-3, 1000.0), False),
        ((0.0, 0.0), (1e-12, 0.0), False),
        ((0.0, 0.0), (0.3, 0.0), True),
        ((NAN, 1.0), (NAN, 1.0), False),
        ((NAN, 1.0), (2.0, 1.0), True),
        ((INF, 1.0), (INF, 1.0), False),
        ((INF, 1.0), (-INF, 1.0), True),
        ((1.0, 1.0), (INF, 1.0), True),
        ((NAN, NAN), (NAN, INF), True),
        ((), (), False),
    ],
)
def test_floats_agree_within_the_scale_of_the_row(expected, actual, exceeds):
    found = gap("y", floats(*expected), floats(*actual), SINGLE)
    assert found.exceeds is exceeds
    assert np.isfinite([found.difference, found.allowed, found.share]).all()


def test_half_precision_is_given_more_room_than_single():
    first, second = floats(1.0, dtype=np.float16), floats(1.005, dtype=np.float16)
    assert gap("y", first, second, SINGLE).exceeds
    assert not gap("y", first, second, TOLERANCES[Precision.HALF]).exceeds


def test_rounding_near_zero_is_no_difference_between_machines():
    near_zero = NEAR_ZERO[Precision.SINGLE]
    rounded, wrong = (floats(1e-4), floats(1e-4 + 2e-7)), (floats(1e-4), floats(1e-4 + 2e-6))
    assert gap("y", *rounded, SINGLE).exceeds
    assert not gap("y", *rounded, SINGLE, near_zero=near_zero).exceeds
    assert gap("y", *wrong, SINGLE, near_zero=near_zero).exceeds


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, np.bool_])
def test_whole_numbers_are_equal_or_not(dtype):
    first, second = np.array([[0, 1, 1]], dtype), np.array([[0, 1, 0]], dtype)
    assert not gap("y", first, first, SINGLE).exceeds
    found = gap("y", first, second, SINGLE)
    assert found.exceeds
    assert found.exact
    assert found.difference == 1
    assert found.share == pytest.approx(1 / 3)


def test_differences_of_large_whole_numbers_do_not_wrap_around():
    first, second = np.array([[0]], np.uint64), np.array([[2**64 - 1]], np.uint64)
    assert gap("y", first, second, SINGLE).difference == float(2**64 - 1)


def test_texts_are_equal_or_not():
    first, second = np.array([[b"a", b"b"]], object), np.array([[b"a", b"c"]], object)
    assert not gap("y", first, first, SINGLE).exceeds
    assert gap("y", first, second, SINGLE).exceeds


def test_the_worst_gap_is_one_beyond_its_tolerance():
    fine = gap("fine", floats(100.0), floats(100.01), SINGLE)
    small = gap("small", floats(1e-3), floats(1.1e-3), SINGLE)
    assert worst([fine, small]).output == "small"
    assert worst([]) is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (floats(1.0), floats(2.0), True),
        (floats(1.0), floats(1.0), False),
        (floats(NAN), floats(1.0), False),
        (floats(NAN), floats(NAN), False),
        (np.array([[1]]), np.array([[2]]), True),
        (np.array([[b"a"]], object), np.array([[b"b"]], object), True),
        (np.zeros((1, 0)), np.zeros((1, 0)), False),
    ],
)
def test_outputs_tell_rows_apart_by_finite_values(first, second, expected):
    assert tells_apart({"y": first}, {"y": second}) is expected
