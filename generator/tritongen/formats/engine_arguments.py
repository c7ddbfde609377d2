"""Arguments of language models' engines: what each takes, misspelt ones, and paths.

Which keys an engine knows depends on its version, so that an unknown one is an error nowhere here;
a key that looks like a known one misspelt is told.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, slots=True)
class Argument:
    """What a key takes; a number within bounds, `low` itself admitted where it is a whole one."""

    kinds: tuple[type, ...]
    words: str
    low: float | None = None
    high: float | None = None

    def takes(self, value: object) -> bool:
        """Whether the engine takes the value; it turns no text into a number."""
        if isinstance(value, bool):
            return bool in self.kinds
        if not isinstance(value, self.kinds):
            return False
        if self.low is None or not isinstance(value, int | float):
            return True
        return self.low <= value <= (self.high if self.high is not None else value)


TEXT = Argument((str,), "a text")
SWITCH = Argument((bool,), "true or false")
COUNT = Argument((int,), "a whole number of at least 1", 1)
GPUS = Argument((int,), "a whole number from 1 to 4096", 1, 4096)
SHARE = Argument((int, float), "a number above 0 and up to 1", 1e-9, 1)


def argument_faults(
    facts: ModelFacts, said: Mapping[str, Any], known: Mapping[str, Argument], within: str = ""
) -> Iterator[Finding]:
    """Values that the engine would refuse, and keys that it may.

    Args:
        facts: of the model.
        said: values by key.
        known: what each key takes that is known.
        within: stands before each key in messages.
    """
    tell = facts.finding
    for key, value in said.items():
        argument, name = known.get(key), f"{within}{key}"
        if argument is None:
            near = get_close_matches(key, known, n=1, cutoff=0.85)
            if near:
                message = f'"{name}" is not known here; the engine refuses keys it does not know'
                fix = f'Did you mean "{within}{near[0]}"?'
                yield tell("TG153", message, severity=Severity.WARNING, fix=fix, field=name)
        elif not argument.takes(value):
            shown = json.dumps(value, default=str)[:60]
            yield tell("TG152", f'"{name}" is {shown}; it takes {argument.words}', field=name)


def path_faults(facts: ModelFacts, key: str, value: str) -> Iterator[Finding]:
    """A folder must be where the server looks for it."""
    tell = facts.finding
    if value.startswith("/"):
        if not os.path.lexists(value):
            message = f'"{key}" is {value}, which is not on this machine'
            fix = "The server must have it there: in its image, or mounted into the container."
            yield tell("TG154", message, severity=Severity.WARNING, fix=fix, field=key)
    elif not value.strip():
        yield tell("TG152", f'"{key}" is empty', field=key)
    elif not _HUB_NAME.fullmatch(value):
        message = f'"{key}" is {value}: the server looks for it from its own working directory'
        fix = "Write the folder's whole path on the server, or a name on the hub."
        yield tell("TG154", message, severity=Severity.WARNING, fix=fix, field=key)
