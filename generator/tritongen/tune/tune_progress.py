"""Where a tuning run stands, and who is told of it."""

from collections.abc import Callable
from dataclasses import dataclass

from tritongen.model.progress import Progress
from tritongen.tune.search.tuner import TuningChoice


@dataclass(frozen=True, slots=True)
class TuneProgress:
    """Where a tuning run stands.

    Attributes:
        model: that is tuned now.
        index: of it, from 0.
        models: in all.
        doing: what comes next, for people.
        elapsed_s: tuning time of the model.
        budget_s: of the model.
        best: so far, None before anything was predicted.
    """

    model: str
    index: int
    models: int
    doing: str
    elapsed_s: float
    budget_s: float
    best: TuningChoice | None = None

    @property
    def left_s(self) -> float:
        """Tuning time that is left at most, of this model and those after it."""
        others = (self.models - self.index - 1) * self.budget_s
        return max(0.0, self.budget_s - self.elapsed_s) + others


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told what happens.

    Attributes:
        step: of the search.
        note: of what is done before it, such as trials.
        download: of the runtime.
    """

    step: Callable[[TuneProgress], None] = lambda _: None
    note: Callable[[str], None] = lambda _: None
    download: Progress | None = None
