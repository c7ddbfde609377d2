"""Exceptions that reach the user as one message, one fix and one exit code."""

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar

from tritongen.errors.codes import CODES


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
