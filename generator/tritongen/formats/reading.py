"""What a reader gets and gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.system.paths import contained


@dataclass(frozen=True, slots=True)
class ModelSource:
    """One version's main file.

    Attributes:
        root: the models folder, resolved; nothing outside of it is opened.
        path: main file or folder, relative to `root`, with ``/``.
        model: name for findings.
        format: of the main file.
        version: its number.
    """

    root: Path
    path: str
    model: str
    format: ModelFormat = ModelFormat.UNKNOWN
    version: int = 1

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model before its file is read: no more than what it is called."""
        return ModelFacts(self.model, self.path, self.format)

    @property
    def file(self) -> Path:
        """Where the main file lies."""
        return self.root / self.path

    def holds(self, path: Path) -> bool:
        """Whether a path is a file inside the models folder, links followed."""
        try:
            real = contained(self.root, path)
        except OSError:
            return False
        return real is not None and real.is_file()


def ranked(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Most frequent first, then by name."""
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


# Reads one format. A reader tells of faults by findings; it raises `InvalidInputError` or `OSError`
# only when there is nothing to tell, and never loads weights. `versions` of what it gives is empty,
# or holds the one version of its source with the files that must stand beside the main file.
Reader = Callable[[ModelSource], ModelFacts]
