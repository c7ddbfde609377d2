"""Faults of a document, collected and reported together."""

from collections.abc import Sequence
from dataclasses import dataclass

from tritongen.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a document.

    Attributes:
        path: dotted path of the value, such as ``models.ocr.rate.peak``; empty for the whole.
        message: what must hold.
        line: 1-based, 0 when unknown.
        code: finding code.
    """

    path: str
    message: str
    line: int = 0
    code: str = "TG304"

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.path or 'document'}: {self.message}"


def raise_faults(faults: Sequence[Fault], where: str) -> None:
    """Raise one error that lists every fault; do nothing when there are none.

    Raises:
        InvalidInputError: with the first fault's code and one detail line a fault.
    """
    if not faults:
        return
    ordered = sorted(faults, key=lambda fault: (fault.line, fault.path))
    count = "one fault" if len(ordered) == 1 else f"{len(ordered)} faults"
    raise InvalidInputError(
        ordered[0].code,
        f"{count} in the file",
        where=where,
        details=[f"{fault} [{fault.code}]" for fault in ordered],
    )
