"""The rules of `check`: from a repository that somebody read to findings. No file is touched."""

from tritongen.config.lint.lint_report import as_github, as_json, as_sarif, as_text
from tritongen.config.lint.linter import Linter, lint
from tritongen.config.lint.repository_view import (
    LintContext,
    ModelView,
    RepositoryFile,
    RepositoryView,
)

__all__ = [
    "LintContext",
    "Linter",
    "ModelView",
    "RepositoryFile",
    "RepositoryView",
    "as_github",
    "as_json",
    "as_sarif",
    "as_text",
    "lint",
]
