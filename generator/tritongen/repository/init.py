"""Drafts `tritongen.yaml` from what a folder holds."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tritongen.config.plain_template import plain_template
from tritongen.errors import InvalidInputError
from tritongen.intent import INTENT_FILE
from tritongen.model.cores import budget_of
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import DEFAULT_TRITON, Intent
from tritongen.model.releases import find
from tritongen.model.sequence_states import likely_states
from tritongen.system.machine import read_cpus

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted file; `models` are the names in it."""

    path: Path
    text: str
    models: tuple[str, ...]


def draft_intent(root: Path, *, force: bool) -> Draft:
    """The text of a `tritongen.yaml` for a folder.

    Args:
        root: the models folder.
        force: draft even when the file exists.

    Raises:
        InvalidInputError: TG703 the file exists; TG101 no models.
    """
    from tritongen.formats import inspect_folder

    path = root / INTENT_FILE
    if path.exists() and not force:
        raise InvalidInputError(
            "TG703", "exists already", where=str(path), fix="Edit it, or draft anew with --force."
        )
    models = inspect_folder(root, find(DEFAULT_TRITON), intent=Intent()).models
    text = plain_template("tritongen.yaml.j2").render(
        triton=DEFAULT_TRITON,
        cores=budget_of(read_cpus()).value,
        models=[_entry(model) for model in models],
    )
    return Draft(path, text, tuple(model.name for model in models))


def _entry(model: ModelFacts) -> dict[str, object]:
    return {
        "name": _key(model.name),
        "format": model.format.value,
        "servable": model.servable,
        "states": _states(model),
        "reason": next(
            (_line(item.message) for item in model.findings if item.severity == "error"), ""
        ),
    }


def _key(name: str) -> str:
    """A model's name as a key of YAML; names were made printable when they were listed."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _line(text: str) -> str:
    """Text that may hold words of a runtime's or a file's, for a comment of one line."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())


def _states(model: ModelFacts) -> str:
    """Likely states as YAML; empty for none, or for names that would not stand in a comment."""
    pairs = likely_states(model)
    names = [name for pair in pairs for name in pair]
    if not all(_PLAIN.fullmatch(name) for name in names):
        return ""
    return ", ".join(f"{name}: {output}" for name, output in pairs)
