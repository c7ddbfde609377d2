"""All cases, and the server that says the same of them."""

from typing import Any

from support.lint_table.elsewhere import ELSEWHERE
from support.lint_table.ensembles import ENSEMBLES
from support.lint_table.files import LAYOUT, SILENT
from support.lint_table.instances import INSTANCES, WARMUP
from support.lint_table.onnxruntime import ONNXRUNTIME
from support.lint_table.said import SAID, SWALLOWED, WITH_FLAG
from support.lint_table.scheduling import BATCHING, IDENTITY
from support.lint_table.sequence import SEQUENCE
from support.lint_table.tensors import TENSORS
from support.lint_table.text import TEXT

__all__ = ["CASES", "ELSEWHERE", "SAID", "SERVER", "SWALLOWED", "WITH_FLAG"]

CASES = (
    *TEXT,
    *IDENTITY,
    *BATCHING,
    *SEQUENCE,
    *TENSORS,
    *INSTANCES,
    *WARMUP,
    *LAYOUT,
    *SILENT,
    *ENSEMBLES,
    *ONNXRUNTIME,
)
# What the embedded Triton is: 24.10 without GPUs, agents and cache.
SERVER: dict[str, Any] = {
    "release": "24.10",
    "backends": frozenset({"python", "onnxruntime"}),
    "agents": frozenset(),
    "cache": False,
}
