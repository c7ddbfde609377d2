"""How a worker's end is told, whatever program it is."""

import pytest

from tritongen.trial.child import ChildEnd, run_worker


@pytest.mark.parametrize(("sent", "status"), [("{}", 0), ("{", 1)])
def test_a_worker_that_ended_by_itself(sent, status):
    result = run_worker(sent, 60.0, 4 << 30, "json.tool")
    assert (result.end, result.status) == (ChildEnd.EXITED, status)
    assert result.output.strip() == ("{}" if status == 0 else "")
    assert bool(result.last_words) is (status == 1)
    assert not result.starved
