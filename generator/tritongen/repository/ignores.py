"""What `tritongen.yaml` says of the findings of `check`."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.intent import INTENT_FILE, IntentDocument, raise_faults, read_intent
from tritongen.model.code_choice import CodeChoice, Ignore, sift
from tritongen.model.findings import Finding, Location
from tritongen.model.intent import Intent
from tritongen.repository.lock_file import LOCK_FILE
from tritongen.repository.project import last_models

# Faults elsewhere in the file are `build`'s to tell.
_OF_CHECK = re.compile(r"(models\..+\.)?check\b.*")


def stated(repository: Path, models: Path | None = None) -> tuple[CodeChoice, tuple[Ignore, ...]]:
    """What holds for the whole repository, and every ignore with its line.

    Args:
        repository: model repository.
        models: folder of the `tritongen.yaml`; None looks into the repository, and then into the
            models folder that the repository was built from.

    Raises:
        InvalidInputError: the file or its keys of `check` cannot be read.
    """
    folder = models or _folder(repository)
    if folder is None:
        return CodeChoice(), ()
    path = folder / INTENT_FILE
    document = read_intent(path)
    raise_faults([item for item in document.faults if _OF_CHECK.fullmatch(item.path)], str(path))
    shown = os.path.relpath(path, repository)
    return choice_of(document.intent), tuple(ignores_of(document, shown))


def _folder(repository: Path) -> Path | None:
    if (repository / INTENT_FILE).is_file():
        return repository
    if (repository / LOCK_FILE).is_file():  # else it was built from no models folder
        with suppress(InvalidInputError):
            models = last_models(repository)
            return models.parent if models.is_file() else models
    return None


def choice_of(intent: Intent) -> CodeChoice:
    """What holds for the whole repository."""
    select = tuple(code for item in intent.check.select for code in item.codes)
    return CodeChoice(select, tuple(code for item in intent.check.ignore for code in item.codes))


def ignores_of(document: IntentDocument, path: str = "") -> Iterator[Ignore]:
    """Every ignore of a `tritongen.yaml`, with its line.

    Args:
        document: that was read.
        path: of the file, relative to the repository.
    """
    intent = document.intent
    lists = [("", "check", intent.check.ignore)]
    lists += [
        (name, f"models.{name}.check", model.check.ignore) for name, model in intent.models.items()
    ]
    for scope, key, listed in lists:
        for index, item in enumerate(listed):
            place = Location(path, document.line_of(f"{key}.ignore[{index}]"))
            yield Ignore(item.codes, place, scope)


def not_ignored(found: Sequence[Finding], intent: Intent) -> tuple[Finding, ...]:
    """Findings of a planned repository but for those that `tritongen.yaml` ignores.

    What it selects is what `check` shows, and lets `build` write no model that it would refuse.
    """
    choice = replace(choice_of(intent), select=())
    return sift(found, ignores_of(IntentDocument(intent)), choice).findings
