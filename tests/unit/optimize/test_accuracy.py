import math

import numpy as np
import pytest

from tritongen.model.intent import Metric
from tritongen.optimize.accuracy import drop, judge_drop, predicted, score

SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)


def test_top1_counts_the_greatest_score() -> None:
    assert score(Metric.TOP1, SCORES, np.array([1, 0, 0, 0])) == 0.75


def test_top1_takes_labels_as_they_are() -> None:
    given = np.array([b"cat", b"dog"], dtype=object)
    assert score(Metric.TOP1, given, np.array(["cat", "cow"])) == 0.5


def test_one_score_a_row_is_a_yes_or_no() -> None:
    assert predicted(np.array([[0.2], [0.9]], np.float32)).tolist() == [0, 1]


def test_f1_is_the_mean_over_the_classes() -> None:
    labels = np.array([0, 0, 1, 2])
    truth = np.array([0, 1, 1, 2])
    # Class 0: 2/3, class 1: 2/3, class 2: 1.
    assert score(Metric.F1, labels, truth) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


@pytest.mark.parametrize(
    ("metric", "expected"), [(Metric.MAE, 0.5), (Metric.MSE, 0.5), (Metric.COSINE, None)]
)
def test_numbers_against_numbers(metric: Metric, expected: float | None) -> None:
    outputs, truth = np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]])
    wanted = expected if expected is not None else 7 / math.sqrt(5 * 10)
    assert score(metric, outputs, truth) == pytest.approx(wanted)


def test_cosine_of_zeros() -> None:
    zeros = np.zeros((2, 3))
    assert score(Metric.COSINE, zeros, zeros) == 1.0
    assert score(Metric.COSINE, zeros, np.ones((2, 3))) == 0.0


@pytest.mark.parametrize(
    ("metric", "outputs", "truth"),
    [
        (Metric.TOP1, np.zeros((2, 3, 4)), np.zeros(2)),
        (Metric.TOP1, SCORES, np.zeros(3)),
        (Metric.TOP1, SCORES, np.zeros((4, 2))),
        (Metric.MAE, SCORES, np.zeros((4, 3))),
    ],
)
def test_shapes_that_do_not_fit(metric: Metric, outputs: np.ndarray, truth: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be|differ"):
        score(metric, outputs, truth)


def test_a_score_loses_its_difference_and_an_error_grows_by_its_share() -> None:
    assert drop(Metric.TOP1, 0.98, 0.95) == pytest.approx(0.03)
    assert drop(Metric.MAE, 0.2, 0.3) == pytest.approx(0.5)
    assert drop(Metric.MSE, 0.2, 0.1) == pytest.approx(-0.5)
    assert drop(Metric.MAE, 0.0, 0.0) == 0.0
    assert drop(Metric.MAE, 0.0, 0.1) == math.inf
    assert drop(Metric.CALLABLE, 0.5, math.nan) == math.inf


def test_the_threshold_itself_is_accepted() -> None:
    assert judge_drop(Metric.TOP1, 0.98, 0.97, 0.01).accepted
    assert not judge_drop(Metric.TOP1, 0.98, 0.969, 0.01).accepted
    assert not judge_drop(Metric.TOP1, 0.98, math.nan, 1.0).accepted


def test_generated_data_never_pass_the_gate() -> None:
    assert not judge_drop(Metric.COSINE, 1.0, 1.0, 0.5, data=False).accepted
