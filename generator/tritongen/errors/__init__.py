"""The one exception tree, the exit codes and the stable finding codes.

::

    TritongenError            what is wrong · where · what to do next · code
    ├── InvalidInputError     exit 2: a file, a YAML, a flag, a model that cannot be used
    ├── EnvironmentProblem    exit 3: the machine lacks something, a server or an engine failed
    └── GoalNotMetError       exit 4: measured, and not good enough

Codes are stable: scripts and suppressions refer to them. `codes.tsv` holds one a line.
"""

from tritongen.errors.codes import CODES, Code
from tritongen.errors.tree import (
    EnvironmentProblem,
    ExitCode,
    GoalNotMetError,
    InvalidInputError,
    TritongenError,
    describe_error,
    words_of,
)

__all__ = [
    "CODES",
    "Code",
    "EnvironmentProblem",
    "ExitCode",
    "GoalNotMetError",
    "InvalidInputError",
    "TritongenError",
    "describe_error",
    "words_of",
]
