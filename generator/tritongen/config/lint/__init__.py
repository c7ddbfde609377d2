"""The rules of `check`: from a repository that somebody read to findings. No file is touched."""

from tritongen.config.lint.lint_report import as_document, as_github, as_sarif
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
    "as_document",
    "as_github",
    "as_sarif",
    "lint",
]
