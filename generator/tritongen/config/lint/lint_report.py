"""Findings as a JSON document, SARIF and GitHub annotations."""

import re
from collections.abc import Sequence
from posixpath import normpath
from typing import Any
from urllib.parse import quote

from tritongen.errors import CODES
from tritongen.model.codec import view
from tritongen.model.findings import Finding, Severity
from tritongen.model.printable import json_text, printable

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_GITHUB_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def summary(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings there are of each severity."""
    return {f"{each}s": sum(item.severity is each for item in findings) for each in Severity}


def _joined(prefix: str, path: str) -> str:
    """A path that may lead out of the repository, as tritongen.yaml's does."""
    trimmed = prefix.rstrip("/").removeprefix("./")
    return normpath(f"{trimmed}/{path}" if trimmed not in {"", "."} else path)


def as_document(findings: Sequence[Finding], prefix: str = "") -> dict[str, Any]:
    """For JSON: ``findings[]`` and ``summary``.

    Args:
        findings: in the order to print.
        prefix: path of the repository, put before every file.
    """
    return {
        "findings": [
            {
                **view(item, "code", "severity"),
                "title": CODES[item.code].title,
                **view(item, "message", "fix", "model"),
                "path": _joined(prefix, item.location.path) if item.location.path else "",
                **view(item.location, "line", "field"),
            }
            for item in findings
        ],
        "summary": summary(findings),
    }


def as_sarif(findings: Sequence[Finding], version: str, prefix: str = "") -> str:
    """A SARIF 2.1.0 log with one run.

    Args:
        findings: in the order to print.
        version: of tritongen.
        prefix: path of the repository below the root of the checkout, relative.
    """
    codes = sorted({item.code for item in findings})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": CODES[code].title},
            "help": {"text": CODES[code].fix},
        }
        for code in codes
    ]
    results = [_sarif_result(item, codes.index(item.code), prefix) for item in findings]
    driver = {"name": "tritongen", "version": version, "rules": rules}
    log = {
        "$schema": _SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
        ],
    }
    return json_text(log, indent=2) + "\n"


def _sarif_result(item: Finding, index: int, prefix: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": item.code,
        "ruleIndex": index,
        "level": _SARIF_LEVELS[item.severity],
        "message": {"text": f"{item.message}. {item.fix}".strip()},
    }
    if item.location.path:
        uri = quote(_joined(prefix, item.location.path), safe="/-._~")
        physical: dict[str, Any] = {"artifactLocation": {"uri": uri}}
        if item.location.line:
            physical["region"] = {"startLine": item.location.line}
        result["locations"] = [{"physicalLocation": physical}]
    return result


def as_github(findings: Sequence[Finding], prefix: str = "") -> str:
    """Workflow commands that GitHub shows beside the lines; arguments as for JSON."""
    lines: list[str] = []
    for item in findings:
        place = item.location
        properties = {"title": f"{item.code} {CODES[item.code].title}"}
        if place.path:
            properties = {
                "file": _joined(prefix, place.path),
                "line": str(place.line or 1),
                **properties,
            }
        listed = ",".join(f"{key}={_escape_property(value)}" for key, value in properties.items())
        message = f"{item.message}. {item.fix}".strip()
        lines.append(f"::{_GITHUB_LEVELS[item.severity]} {listed}::{_escape(message)}")
    return "".join(f"{line}\n" for line in lines)


def _escape(text: str) -> str:
    # What the runner takes back are percent signs and line ends; the rest it shows as it is.
    ends = {"%": "%25", "\r": "%0D", "\n": "%0A"}
    return "".join(ends.get(part) or printable(part) for part in re.split(r"([%\r\n])", text))


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
