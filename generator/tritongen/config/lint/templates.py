"""Placeholders of a configuration's template that nobody filled in."""

from collections.abc import Iterator

from tritongen.config.lint.linted_model import CONFIG_FILE, LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.template_places import REQUIRED, template_places


def unfilled(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Outside of a text the parser stops at one; within one the backend takes it for its value."""
    for place in template_places(model.view.config or ""):
        message = f"placeholder ${{{place.name}}} is not filled in"
        if not place.quoted:
            severity, more = Severity.ERROR, ", and Triton's parser stops there"
        elif place.name in REQUIRED:
            severity, more = Severity.ERROR, ", and nothing is served without its value"
        else:
            severity, more = Severity.INFO, "; the backend takes it for a setting left out"
        yield finding(
            "TG541",
            severity,
            message + more,
            model=model.name,
            path=f"{model.name}/{CONFIG_FILE}",
            line=place.line,
        )


def stopped_lines(text: str) -> frozenset[int]:
    """Lines at which the parser stops for a placeholder alone."""
    return frozenset(place.line for place in template_places(text) if not place.quoted)
