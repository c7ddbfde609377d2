"""Reduced models, by the rules of a whole repository, are like whole ones."""

import pytest

from support.lint import context, model_view
from support.lint_cases import Case
from support.lint_table import CASES
from tritongen.config.lint.linted_model import LintedModel, linted_model
from tritongen.config.lint.linter import REPOSITORY_RULES
from tritongen.config.lint.repository_view import LintContext

TIGHT = context(cores=1, rate_limiter=True)


def models_of(case: Case, server: LintContext) -> tuple[LintedModel, ...]:
    return tuple(
        linted_model(model_view(one.name, one.config, list(one.files)), server)
        for one in (case, *case.needs)
    )


@pytest.mark.parametrize("server", [context(), TIGHT], ids=["roomy", "tight"])
def test_reduced_models_keep_all_that_the_rules_need(server: LintContext) -> None:
    told = 0
    for case in CASES:
        whole = {model.name: model for model in models_of(case, server)}
        reduced = {name: model.reduced() for name, model in whole.items()}
        for rule in REPOSITORY_RULES:
            wanted = set(rule(whole, server))
            assert set(rule(reduced, server)) == wanted, (case.name, rule.__name__)
            told += len(wanted)
    assert told > 10
