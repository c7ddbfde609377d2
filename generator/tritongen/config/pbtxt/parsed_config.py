"""What is known of one parsed configuration: message, faults, and where each field stands."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tritongen.model.findings import Finding, Severity

# The message classes are generated at run time; there is no static type to name.
ConfigMessage: TypeAlias = Any

_LAST_PART = re.compile(r"(\.?[A-Za-z0-9_]+|\[[0-9]+\]|\[\"(?:[^\"\\]|\\.)*\"\])$")


@dataclass(frozen=True, slots=True)
class ParsedConfig:
    """The outcome of reading one `config.pbtxt`.

    Attributes:
        path: of the file, as findings name it.
        message: an `inference.ModelConfig`; what could be read of it when there are faults.
        lines: 1-based line of every field by its path: ``input[0].dims``, ``input[0].dims[1]``,
            ``parameters["intra_op_thread_count"].string_value``.
        findings: faults of the text, each with line and column, and repeated map keys.
    """

    path: str
    message: ConfigMessage
    lines: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether Triton's parser accepts the text."""
        return not any(item.severity is Severity.ERROR for item in self.findings)

    def line(self, path: str) -> int:
        """The line of a field, or of the nearest enclosing field that is written; else 0."""
        while path:
            if path in self.lines:
                return self.lines[path]
            shorter = _LAST_PART.sub("", path)
            path = "" if shorter == path else shorter
        return 0


def map_path(name: str, key: object) -> str:
    """The path of a map's entry: ``parameters["key"]``, ``priority_queue_policy[3]``."""
    if isinstance(key, str):
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name}["{escaped}"]'
    return f"{name}[{key}]"
