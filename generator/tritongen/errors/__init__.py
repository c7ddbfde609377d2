"""The one exception tree, the exit codes and the stable finding codes.

::

    TritongenError            what is wrong · where · what to do next · code
    ├── InvalidInputError     exit 2: a file, a YAML, a flag, a model that cannot be used
    ├── EnvironmentProblem    exit 3: the machine lacks something, a server or an engine failed
    └── GoalNotMetError       exit 4: measured, and not good enough

Codes are stable: scripts and suppressions refer to them. The table `codes.tsv` beside this file
holds one a line, with its title and its general fix. Ranges: TG0xx the tool and its files · TG1xx
model files and their I/O · TG20x the trial run · TG21x to TG24x rewriting and quantising · TG30x to
TG31x `tritongen.yaml` and the plan of a repository · TG32x to TG36x traffic, prices and the plan of
machines · TG37x steps of a pipeline · TG4xx Triton core's load rules · TG5xx backends' rules ·
TG60x to TG63x mistakes that Triton accepts in silence, TG64x on: advice · TG70x repository, lock
and drift · TG75x to TG76x exports · TG80x to TG83x serving · TG84x to TG85x the Docker Engine ·
TG86x what stands before a server · TG90x to TG91x probing · TG95x tuning · TG97x to TG98x
observing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

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


class ExitCode(IntEnum):
    """What the process tells its caller."""

    OK = 0
    FINDINGS = 1
    INVALID_INPUT = 2
    ENVIRONMENT = 3
    GOAL_NOT_MET = 4


class TritongenError(Exception):
    """A failure that a user can act upon.

    Attributes:
        code: a key of `tritongen.errors.CODES`, such as ``TG301``.
        what: one sentence that says what is wrong, without a final full stop being required.
        where: the file, field or endpoint concerned; empty when there is none.
        fix: what to do next; the code's general fix when not given.
        details: further lines, each a fault or a line of a log, printed below the message.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INVALID_INPUT

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: str = "",
        fix: str = "",
        details: Sequence[str] = (),
    ) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.fix = fix or CODES[code].fix
        self.details = tuple(details)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}"


class InvalidInputError(TritongenError):
    """A file, a flag, a YAML or a model that cannot be used as it is."""

    exit_code = ExitCode.INVALID_INPUT


class EnvironmentProblem(TritongenError):  # noqa: N818  (the machine is at fault, not the input)
    """Something this machine lacks, or a server or engine that failed."""

    exit_code = ExitCode.ENVIRONMENT


class GoalNotMetError(TritongenError):
    """The measurement is sound and the goal is missed."""

    exit_code = ExitCode.GOAL_NOT_MET


def words_of(error: Exception) -> str:
    """What a library in C++ says; its message comes as bytes where it is not UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return error.object.decode("utf-8", "replace")
    return str(error)


def describe_error(problem: Exception) -> str:
    """What Python says of a file that cannot be read, without its path and numbers."""
    if isinstance(problem, UnicodeDecodeError):
        return f"not UTF-8 text: byte {problem.start} is {problem.object[problem.start]:#04x}"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror[0].lower() + problem.strerror[1:]
    if isinstance(problem, ValueError) and "pickle" in str(problem):
        # NumPy's own advice is to run what is in the file.
        return "no file of arrays, or one with Python objects, which are never loaded"
    return str(problem)
