"""What a trial may take."""

from dataclasses import dataclass

from tritongen.model.facts import ModelFacts

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """Limits and seed of a trial.

    Attributes:
        cores: threads to try at most; the machine's own budget bounds it further.
        seed: of the generated inputs.
        timeout_s: wall clock of the whole trial, after which the child is killed.
        memory_bytes: resident memory at which the child is killed; None for 4 GiB and four times
            the weights.
        time_budget_s: seconds spent on measuring execution times; 0 measures nothing.
    """

    cores: int
    seed: int = 0
    timeout_s: float = 60.0
    memory_bytes: int | None = None
    time_budget_s: float = 6.0

    def memory_limit(self, facts: ModelFacts) -> int:
        """Bytes of resident memory that a trial of this model may take."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        return 4 * _GIB + 4 * facts.weight_bytes
