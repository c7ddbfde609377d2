"""Every stable code with its title and its general fix: the table `codes.tsv` beside this file.

Ranges: TG0xx the tool and its files · TG1xx model files and their I/O · TG20x the trial run ·
TG21x to TG24x rewriting and quantising · TG30x to TG31x `tritongen.yaml` and the plan of a
repository · TG32x to TG36x traffic, prices and the plan of machines · TG37x steps of a pipeline ·
TG4xx Triton core's load rules · TG5xx backends' rules · TG60x to TG63x mistakes that Triton accepts
in silence, TG64x on: advice · TG70x repository, lock and drift · TG75x to TG76x exports ·
TG80x to TG83x serving · TG84x to TG85x the Docker Engine · TG90x to TG91x probing ·
TG95x tuning · TG97x to TG98x observing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

_TABLE = Path(__file__).with_name("codes.tsv")


@dataclass(frozen=True, slots=True)
class Code:
    """A stable finding or error code.

    Attributes:
        id: ``TG`` and three digits.
        title: a short name of the fault, shown as the rule's name in SARIF.
        fix: what to do about it in general; a finding may say something more precise.
    """

    id: str
    title: str
    fix: str


def _read() -> dict[str, Code]:
    _, *rows = _TABLE.read_text(encoding="utf-8").splitlines()
    return {entry.id: entry for entry in (Code(*row.split("\t")) for row in rows)}


# Read at once and not at the first error: that one may be for want of file descriptors.
CODES: Mapping[str, Code] = MappingProxyType(_read())
