"""Which metrics fall as a model gets better, and which are of class labels."""

from tritongen.model.accuracy_metrics import Metric


def test_errors_fall_and_labels_are_classes():
    assert {metric for metric in Metric if metric.is_error} == {Metric.MAE, Metric.MSE}
    assert {metric for metric in Metric if metric.wants_classes} == {Metric.TOP1, Metric.F1}
