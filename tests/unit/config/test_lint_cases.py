"""Every case of the table, read by the lint alone."""

from pathlib import Path

import pytest

from support.lint import codes, context, model_view, view_of
from support.lint_cases import Case
from support.lint_table import CASES, ELSEWHERE, SAID, SERVER, SWALLOWED, WITH_FLAG
from support.lint_table.elsewhere import Elsewhere
from support.triton import write_model
from tritongen.config.lint import REPOSITORY_RULES, LintContext, ModelView, lint
from tritongen.config.lint.linted_model import LintedModel, linted_model
from tritongen.errors import CODES
from tritongen.model.findings import Severity

# Load rules that no file can break.
RUN_TIME_ONLY = {23: "the size of a request to a sequence model"}
# Load rules that say what Triton accepts.
ACCEPTED = {8: "a batcher without batching", 32: "names twice, or no tensors at all"}
BY_NAME = {case.name: case for case in CASES}
TIGHT = context(cores=1, rate_limiter=True)


def view_for(case: Case, folder: Path) -> tuple[ModelView, ...]:
    models = (case, *case.needs)
    if not any(path.endswith(".onnx") for path in case.files):
        return tuple(model_view(m.name, m.config, m.files) for m in models)
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


@pytest.mark.parametrize("case", ELSEWHERE, ids=lambda case: case.name)
def test_verdict_of_other_servers(case: Elsewhere):
    view = model_view(case.name, case.config, case.files)
    found = lint((view,), context(**case.server))
    assert codes(found, Severity.ERROR) == {case.code}, found


def test_names_are_unique():
    names = [case.name for case in (*CASES, *ELSEWHERE)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rule", range(1, 52))
def test_every_load_rule_is_covered(rule):
    """Each rule that refuses has a case that it refuses; the others have one that loads."""
    refusing = [case for case in CASES if rule in case.rules and case.refused]
    elsewhere = [case for case in ELSEWHERE if rule in case.rules]
    if rule in ACCEPTED:
        assert [case for case in CASES if rule in case.rules and not case.refused]
    elif rule not in RUN_TIME_ONLY:
        assert refusing or elsewhere


@pytest.mark.parametrize("row", SAID)
def test_every_reason_of_the_server_is_covered(row):
    name, words = SAID[row]
    if name in WITH_FLAG:
        assert name in {case.name for case in ELSEWHERE}
    else:
        assert BY_NAME[name].refused
        assert words in BY_NAME[name].words


@pytest.mark.parametrize("row", SWALLOWED)
def test_everything_that_the_server_swallows_is_told(row):
    for name in SWALLOWED[row]:
        assert not BY_NAME[name].refused
        assert BY_NAME[name].codes


def test_every_code_of_a_configuration_has_a_title_and_a_cure():
    for entry in CODES.values():
        if entry.id[2] in "456":
            assert entry.title
            assert entry.fix.endswith(".")


def models_of(case: Case, server: LintContext) -> tuple[LintedModel, ...]:
    return tuple(
        linted_model(model_view(one.name, one.config, list(one.files)), server)
        for one in (case, *case.needs)
    )


@pytest.mark.parametrize("server", [context(), TIGHT], ids=["roomy", "tight"])
def test_reduced_models_keep_all_that_the_rules_need(server: LintContext) -> None:
    """Reduced models, by the rules of a whole repository, are like whole ones."""
    told = 0
    for case in CASES:
        whole = {model.name: model for model in models_of(case, server)}
        reduced = {name: model.reduced() for name, model in whole.items()}
        for rule in REPOSITORY_RULES:
            wanted = set(rule(whole, server))
            assert set(rule(reduced, server)) == wanted, (case.name, rule.__name__)
            told += len(wanted)
    assert told > 10
