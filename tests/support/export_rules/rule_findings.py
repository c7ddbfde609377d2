"""What a rule finds: the product's own finding where its code is one that the product says."""

from dataclasses import dataclass

from tritongen.errors import CODES
from tritongen.model.findings import Finding, Location, Severity
from tritongen.model.findings import finding as product_finding

_NOWHERE = Location()


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A rule that only these tests have; the product writes no file that breaks it."""

    code: str
    severity: Severity
    message: str
    fix: str = "Correct the template."
    model: str = ""
    location: Location = _NOWHERE


def finding(
    code: str, severity: Severity, message: str, *, fix: str = "", path: str = "", field: str = ""
) -> Finding | BrokenRule:
    """A finding in a file."""
    if code in CODES:
        return product_finding(code, severity, message, fix=fix, path=path, field=field)
    return BrokenRule(code, severity, message, location=Location(path=path, field=field))
