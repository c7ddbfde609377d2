"""`tritongen optimize` run on a project, and its answer taken apart."""

from typing import Any

import jsonschema

from support.cli import Project
from support.optimize.schema import OPTIMIZE


def optimized(project: Project, *arguments: str, expect: int | None = 0) -> dict[str, Any]:
    """The one model of a run, checked against the schema."""
    document = project.json("optimize", "models", *arguments, expect=expect)
    jsonschema.validate(document, OPTIMIZE)
    (model,) = document["models"]
    return model


def steps(model: dict[str, Any]) -> dict[str, bool]:
    """Whether each step was applied, by name."""
    return {step["name"]: step["applied"] for step in model["steps"]}


def variant(model: dict[str, Any], name: str) -> dict[str, Any]:
    """One variant."""
    return next(item for item in model["variants"] if item["name"] == name)


def codes(model: dict[str, Any]) -> set[str]:
    """Codes of the findings."""
    return {item["code"] for item in model["findings"]}
