"""How far a long piece of work has come, told to whoever waits for it."""

from collections.abc import Callable

__all__ = ["Progress", "silent"]

# (what is being done, units done, units in all; 0 in all when unknown)
Progress = Callable[[str, int, int], None]


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress for those who do not ask."""
