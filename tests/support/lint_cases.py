"""Configurations with what Triton says of each.

Unit tests hold the lint against this table, and an integration test holds the table against a real
Triton, so that neither can drift.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from support.lint import BASE, PYTHON_MODEL

FILES: Mapping[str, bytes] = {"1/model.py": PYTHON_MODEL}


@dataclass(frozen=True)
class Case:
    """One model.

    Attributes:
        name: of the model and of the test.
        config: its configuration, None for no file.
        codes: error codes when it is refused, else warning or info codes that must be among all.
        words: part of Triton's reason; empty when it loads.
        rules: numbers of the load rules that it covers.
        files: by path relative to the model's folder.
        needs: models that must be in the repository too.
        ends: whether it ends the server, so that no other model can share it.
    """

    name: str
    config: str | None
    codes: tuple[str, ...] = ()
    words: str = ""
    rules: tuple[int, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=lambda: FILES)
    needs: tuple["Case", ...] = ()
    ends: bool = False

    @property
    def refused(self) -> bool:
        """Whether Triton refuses it."""
        return bool(self.words)

    @property
    def late(self) -> bool:
        """Whether it wants a server of its own.

        Refused for its initial state or warm-up, after instances were made, it lets Triton 2.51
        free an instance that another thread may still be making, and crash in some of its runs.
        """
        return self.ends or (self.refused and bool({22, 40} & set(self.rules)))


def plus(text: str, base: str = BASE) -> str:
    """The base configuration with more lines."""
    return f"{base}{text}\n"


def swap(old: str, new: str, base: str = BASE) -> str:
    """The base configuration with every occurrence of a part replaced."""
    assert old in base
    return base.replace(old, new)


def flat(config: str) -> str:
    """The configuration without batching."""
    return swap("max_batch_size: 8", "max_batch_size: 0", config)
