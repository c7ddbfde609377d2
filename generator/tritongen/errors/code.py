"""The shape of one registered code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A stable finding or error code.

    Attributes:
        id: ``TG`` and three digits.
        title: a short name of the fault, shown as the rule's name in SARIF.
        cure: what to do about it in general; a finding may say something more precise.
    """

    id: str
    title: str
    cure: str
