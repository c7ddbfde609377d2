"""The three reports of one repository with many faults, as a person reads them in review."""

from pathlib import Path

import pytest

from support.lint import context, view_of
from tritongen.cli.output import document_text
from tritongen.config.lint import as_document, as_github, as_sarif, lint

FOLDER = Path(__file__).parent
REPORTS = {
    "report.json": lambda findings, prefix: document_text(as_document(findings, prefix)) + "\n",
    "report.sarif": lambda findings, prefix: as_sarif(findings, "0.0.0", prefix),
    "report.github": as_github,
}


@pytest.mark.parametrize("name", REPORTS)
def test_report(name, update_golden):
    findings = lint(view_of(FOLDER / "repository"), context(cores=4))
    text = REPORTS[name](findings, "models")
    expected = FOLDER / name
    if update_golden:
        expected.write_text(text)
    assert text == expected.read_text()
