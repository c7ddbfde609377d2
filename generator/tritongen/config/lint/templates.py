"""Placeholders of a configuration's template that nobody filled in: ``${engine_dir}``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tritongen.config.lint.linted_model import CONFIG_FILE, LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.model.findings import Finding, Severity, finding

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Without these nothing can be served; the others read as unset.
REQUIRED = frozenset({"engine_dir", "tokenizer_dir", "batching_strategy", "triton_backend"})
_FIX = "Fill it in, as fill_template.py of TensorRT-LLM does."


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One place that waits for a value; `quoted` where it stands within a text."""

    name: str
    line: int
    quoted: bool


def placeholders(text: str) -> Iterator[Placeholder]:
    """Every placeholder of a configuration outside of its comments."""
    for number, line in enumerate(text.splitlines(), 1):
        if "${" not in line:
            continue
        for match in _PLACEHOLDER.finditer(line):
            quotes = re.findall(r"""(?<!\\)["']|#""", line[: match.start()])
            inside = ""
            for mark in quotes:
                if mark == "#":
                    if not inside:
                        break
                elif not inside:
                    inside = mark
                elif mark == inside:
                    inside = ""
            else:
                yield Placeholder(match[1], number, bool(inside))


def unfilled(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Outside of a text the parser stops at one; within one the backend takes it for its value."""
    for item in placeholders(model.view.config or ""):
        message = f"placeholder ${{{item.name}}} is not filled in"
        if not item.quoted:
            severity, more = Severity.ERROR, ", and Triton's parser stops there"
        elif item.name in REQUIRED:
            severity, more = Severity.ERROR, ", and nothing is served without its value"
        else:
            severity, more = Severity.INFO, "; the backend takes it for a setting left out"
        yield finding(
            "TG541",
            severity,
            message + more,
            fix=_FIX,
            model=model.name,
            path=f"{model.name}/{CONFIG_FILE}",
            line=item.line,
        )


def stopped_lines(text: str) -> frozenset[int]:
    """Lines at which the parser stops for a placeholder alone."""
    return frozenset(item.line for item in placeholders(text) if not item.quoted)
