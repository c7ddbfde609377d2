"""How to tune, and who is told of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tritongen.model.business import ClientProtocol
from tritongen.model.progress import Progress
from tritongen.serving.server_spec import UpOptions
from tritongen.tune.search.tuner import Choice


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How to tune.

    Attributes:
        models: names; empty for all that are served.
        goal: as text; empty takes each model's from `tritongen.yaml`.
        budget_s: tuning time of each model.
        cpus: cores for the named models; None takes the target's and each model's share of them.
        protocol: what requests travel by; None takes that of the intent's clients.
        server: runtime, image and wheel of the private server.
        seed: of the search.
        dry_run: change no file of the repository.
        resume: go on where an earlier run was killed.
        trial_timeout_s: for models that were never run.
    """

    models: tuple[str, ...] = ()
    goal: str = ""
    budget_s: float = 120.0
    cpus: float | None = None
    protocol: ClientProtocol | None = None
    server: UpOptions = field(default_factory=lambda: UpOptions(runtime=None))
    seed: int = 0
    dry_run: bool = False
    resume: bool = False
    trial_timeout_s: float = 60.0


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
    best: Choice | None = None

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
