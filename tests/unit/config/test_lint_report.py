"""Findings as a JSON document, SARIF and GitHub annotations."""

import json

import pytest

from tritongen.config.lint import as_document, as_github, as_sarif
from tritongen.errors import CODES
from tritongen.model.findings import Severity, finding

FINDINGS = (
    finding("TG531", Severity.ERROR, "all models together: 6 threads"),
    finding(
        "TG462",
        Severity.ERROR,
        'column 3: Unknown enumeration value of "FP32"',
        model="a b",
        path="a b/config.pbtxt",
        line=4,
        field="input[0].data_type",
        fix="Write `TYPE_FP32`.",
    ),
    finding("TG619", Severity.WARNING, 'folder "01" is ignored', model="m", path="m/01"),
    finding("TG643", Severity.INFO, "100%: a,b\nc", model="m", path="m/config.pbtxt", line=2),
)


def test_json_holds_every_finding():
    document = as_document(FINDINGS, "./repo")
    assert document["summary"] == {"errors": 2, "warnings": 1, "infos": 1}
    assert document["findings"][1] == {
        "code": "TG462",
        "severity": "error",
        "title": "unknown enumeration value",
        "message": 'column 3: Unknown enumeration value of "FP32"',
        "fix": "Write `TYPE_FP32`.",
        "model": "a b",
        "path": "repo/a b/config.pbtxt",
        "line": 4,
        "field": "input[0].data_type",
    }
    assert document["findings"][0]["path"] == ""


def check_sarif(log: dict) -> None:
    """The rules of SARIF 2.1.0 that a log of ours can break."""
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        assert driver["name"]
        identifiers = [rule["id"] for rule in driver["rules"]]
        assert len(set(identifiers)) == len(identifiers)
        for rule in driver["rules"]:
            assert set(rule) <= {"id", "shortDescription", "help"}
            assert rule["shortDescription"]["text"]
            assert rule["help"]["text"]
        assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
        for result in run["results"]:
            check_result(result, identifiers)


def check_result(result: dict, identifiers: list[str]) -> None:
    assert set(result) <= {"ruleId", "ruleIndex", "level", "message", "locations"}
    assert identifiers[result["ruleIndex"]] == result["ruleId"]
    assert result["level"] in {"none", "note", "warning", "error"}
    assert result["message"]["text"]
    for location in result.get("locations", []):
        physical = location["physicalLocation"]
        uri = physical["artifactLocation"]["uri"]
        assert uri.isascii()
        assert not uri.startswith("/")
        assert " " not in uri
        if "region" in physical:
            assert physical["region"]["startLine"] >= 1


def test_sarif():
    log = json.loads(as_sarif(FINDINGS, "1.2.3", "repo"))
    check_sarif(log)
    (run,) = log["runs"]
    assert run["tool"]["driver"]["version"] == "1.2.3"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [
        "TG462",
        "TG531",
        "TG619",
        "TG643",
    ]
    assert [result["level"] for result in run["results"]] == ["error", "error", "warning", "note"]
    assert "locations" not in run["results"][0]
    (location,) = run["results"][1]["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "repo/a%20b/config.pbtxt"},
        "region": {"startLine": 4},
    }


def test_sarif_without_findings():
    check_sarif(json.loads(as_sarif((), "1")))


def test_github_annotations_escape_what_would_end_them():
    lines = as_github(FINDINGS, "repo").splitlines()
    assert lines[0] == (
        "::error title=TG531 threads exceed the cores::all models together: 6 threads. "
        + CODES["TG531"].fix
    )
    assert lines[1].startswith(
        "::error file=repo/a b/config.pbtxt,line=4,title=TG462 unknown enumeration value::"
    )
    assert lines[2].startswith("::warning file=repo/m/01,line=1,")
    assert lines[3].startswith("::notice file=repo/m/config.pbtxt,line=2,")
    assert lines[3].endswith("::100%25: a,b%0Ac. Write KIND_CPU or KIND_GPU.")
    assert len(lines) == len(FINDINGS)


@pytest.mark.parametrize("name", ["a,b", "a:b", "a%b"])
def test_github_escapes_paths(name):
    item = finding("TG650", Severity.WARNING, "x", path=name)
    escaped = name.replace("%", "%25").replace(",", "%2C").replace(":", "%3A")
    assert f"file={escaped},line=1," in as_github((item,))
