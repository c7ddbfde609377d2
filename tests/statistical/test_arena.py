"""The memory arena, over many seeds: switched off where that is faster, and nowhere else."""

from dataclasses import replace

import pytest

from support.arena import FASTER, SLOWER, tuned, without_arena
from support.synthetic_triton import TEXT
from tritongen.tune.search.measurement_records import elapsed_s
from tritongen.tune.search.tuner import evaluated


def test_the_winner_goes_without_it_where_that_is_faster():
    found = [tuned(FASTER, seed) for seed in range(5)]
    assert sum(not choice.candidate.arena for _, _, choice in found) >= 4
    for tuner, history, choice in found:
        assert elapsed_s(history) <= 120.0
        assert len({task.candidate for task in without_arena(history)}) <= 1
        if choice.candidate.arena:
            continue
        rows = {row.candidate: row for row in evaluated(tuner)}
        assert rows[choice.candidate].fate == "best"
        before = rows[replace(choice.candidate, arena=True)]
        assert "slower than" in before.why or before.fate == "tied"


@pytest.mark.parametrize("profile", [TEXT, SLOWER], ids=lambda profile: profile.name)
def test_the_default_stays_where_it_is_not(profile):
    for seed in range(5):
        tuner, history, choice = tuned(profile, seed)
        assert choice.candidate.arena
        asked = without_arena(history)
        assert len(asked) <= 5
        # What it was asked of is what is chosen: the question changed nothing else.
        assert {replace(task.candidate, arena=True) for task in asked} <= {choice.candidate}
        whys = [row.why for row in evaluated(tuner) if not row.candidate.arena]
        assert all(whys)
