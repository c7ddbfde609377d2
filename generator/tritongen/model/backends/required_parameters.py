"""Parameters that a configuration must state because of what the model's file says."""

from collections.abc import Callable
from dataclasses import dataclass

from tritongen.model.facts import ModelFacts


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter with the sentence that explains it."""

    key: str
    value: str
    why: str


# From the model's facts and the target release (``YY.MM``).
SettingsOf = Callable[[ModelFacts, str], tuple[Setting, ...]]


def no_settings(_facts: ModelFacts, _release: str) -> tuple[Setting, ...]:
    """Of backends that need none."""
    return ()
