"""The metrics that a variant can be held to."""

from enum import StrEnum

DEFAULT_MAX_DROP = 0.01


class Metric(StrEnum):
    """A metric by name; `CALLABLE` stands for the user's own."""

    TOP1 = "top1"
    F1 = "f1"
    MAE = "mae"
    MSE = "mse"
    COSINE = "cosine"
    CALLABLE = "callable"

    @property
    def is_error(self) -> bool:
        """Whether less is better."""
        return self in {Metric.MAE, Metric.MSE}

    @property
    def wants_classes(self) -> bool:
        """Whether truths are class labels."""
        return self in {Metric.TOP1, Metric.F1}
