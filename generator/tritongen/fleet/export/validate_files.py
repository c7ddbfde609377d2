"""Rendered files, read back and held against the rules that their targets' own validators miss."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from tritongen.errors import EnvironmentProblem
from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.render_texts import ExportFile
from tritongen.fleet.export.semantics import check_documents
from tritongen.model.findings import Finding

__all__ = ["documents", "validate"]


def validate(files: tuple[ExportFile, ...], deployment: Deployment) -> tuple[Finding, ...]:
    """What the files do wrong; errors forbid writing them.

    Raises:
        EnvironmentProblem: TG001, a file cannot be read back.
    """
    read = {file.path: list(documents(file)) for file in files}
    return tuple(check_documents(read, deployment))


def documents(file: ExportFile) -> Iterator[Any]:
    """The documents of a YAML or JSON file.

    Raises:
        EnvironmentProblem: TG001, it is none.
    """
    try:
        if file.path.endswith(".json"):
            yield json.loads(file.text)
        elif file.path.endswith((".yaml", ".yml")):
            yield from (item for item in yaml.safe_load_all(file.text) if item is not None)
    except (ValueError, yaml.YAMLError) as problem:
        raise EnvironmentProblem(
            "TG001", f"the rendered file cannot be read: {problem}", where=file.path
        ) from problem
