"""A finding: something about a model, a configuration or a plan that a person should know."""

from dataclasses import dataclass
from enum import StrEnum

from tritongen.errors import CODES


class Severity(StrEnum):
    """How bad it is: an error stops serving, a warning costs, an info explains."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a finding applies.

    Attributes:
        path: file, relative to what was inspected; empty when there is none.
        line: 1-based line in that file, 0 when unknown.
        field: path of a field (``dynamic_batching.preferred_batch_size``) or a tensor's name.
    """

    path: str = ""
    line: int = 0
    field: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault or remark with a stable code and its fix.

    Attributes:
        code: a key of `tritongen.errors.CODES`.
        severity: error, warning or info.
        message: one sentence that names the model's part concerned.
        fix: what to do; the code's general fix when empty at construction.
        model: the model's name, empty for findings on the whole.
        location: file, line and field.
    """

    code: str
    severity: Severity
    message: str
    fix: str = ""
    model: str = ""
    location: Location = Location()

    def __post_init__(self) -> None:
        general = CODES[self.code].fix
        if not self.fix:
            object.__setattr__(self, "fix", general)

    @property
    def in_words(self) -> str:
        """Model, message, fix and code on one line, as details of an error show it."""
        return f"{self.model}: {self.message} → {self.fix} [{self.code}]"


def finding(
    code: str,
    severity: Severity,
    message: str,
    *,
    fix: str = "",
    model: str = "",
    path: str = "",
    line: int = 0,
    field: str = "",
) -> Finding:
    """A finding with its location spelled out; see `Finding` and `Location` for the arguments."""
    return Finding(code, severity, message, fix, model, Location(path, line, field))
