"""Every case of the table, read by the lint alone."""

from pathlib import Path

import pytest

from support.lint import codes, context, model_view, view_of
from support.lint_cases import Case
from support.lint_table import CASES, SERVER
from support.triton import write_model
from tritongen.domain.findings import Severity
from tritongen.errors import CODES
from tritongen.render.lint import RepositoryView, lint

# Load rules that no file can break.
RUN_TIME_ONLY = {23: "the size of a request to a sequence model"}
# Load rules whose cases stand in other test modules, and why.
ELSEWHERE = {
    35: "profiles of TensorRT plans",
    36: "backends without optional inputs",
    38: "the rate limiter, a flag of the server",
    39: "metric controls, newer than that server",
}


def view_for(case: Case, folder: Path) -> RepositoryView:
    models = (case, *case.needs)
    if not any(path.endswith(".onnx") for path in case.files):
        return RepositoryView(tuple(model_view(m.name, m.config, m.files) for m in models))
    for model in models:
        write_model(folder, model.name, model.config, model.files)
    return view_of(folder, SERVER["release"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(case, tmp_path):
    everything = lint(view_for(case, tmp_path), context(**SERVER))
    found = [item for item in everything if item.model == case.name]
    errors = codes(found, Severity.ERROR)
    if case.refused:
        assert errors == set(case.codes), found
    else:
        assert errors == set(), found
        assert set(case.codes) <= codes(found), found


def test_names_are_unique():
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_load_rule_is_covered():
    covered = {rule for case in CASES for rule in case.rules}
    assert covered | set(RUN_TIME_ONLY) | set(ELSEWHERE) == set(range(1, 52))


def test_every_code_of_a_configuration_has_a_title_and_a_cure():
    for entry in CODES.values():
        if entry.id[2] in "456":
            assert entry.title
            assert entry.cure.endswith(".")
