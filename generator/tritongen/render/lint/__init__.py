"""The rules of `check`: from a repository that somebody read to findings. No file is touched."""

from tritongen.render.lint.engine import Linter, lint
from tritongen.render.lint.report import as_github, as_json, as_sarif, as_text
from tritongen.render.lint.view import LintContext, ModelView, RepositoryFile, RepositoryView

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
