"""Which models `verify` runs on this machine."""

from contextlib import closing
from pathlib import Path

import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.serving.verify_runs import LocalRuns
from tritongen.trial.child_session import ChildSessions


@pytest.mark.parametrize("form", list(ModelFormat), ids=lambda form: form.value)
def test_programs_run_where_code_may_run_and_are_told_of(form):
    facts = ModelFacts("m", "m", form)
    told: list[str] = []
    with closing(ChildSessions([])) as sessions:
        LocalRuns(sessions, True, told.append).session(facts, Path("m"), {})
        assert told == (["m"] if form.is_code else [])
        refused = LocalRuns(sessions, False, told.append)
        if not form.is_code:
            refused.session(facts, Path("m"), {})
            return
        with pytest.raises(InvalidInputError) as caught:
            refused.session(facts, Path("m"), {})
    assert caught.value.code == "TG149"
    assert told == ["m"], "nothing is told of what does not run"
