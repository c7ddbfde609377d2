"""`tune` never makes it worse: at the clients' load its choice is what is there, or better."""

from itertools import product

import pytest

from support.synthetic_triton import TEXT, TINY, TREES, SyntheticTriton, run_tuning, truth
from support.tuning import tuner_for
from tritongen.tune.search.final_pairs import Rivals
from tritongen.tune.search.measurement_records import Purpose
from tritongen.tune.search.objective import parse_goal
from tritongen.tune.search.search_space import Candidate

# A good configuration, a poor one, and one for many clients.
THERE = (Candidate(2, 1, 8, 0), Candidate(1, 2), Candidate(1, 1, 32, 0))


@pytest.mark.parametrize(
    ("profile", "noise"),
    [(TEXT, 0.03), (TREES, 0.07), (TINY, 0.03)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_it_is_never_worse_for_the_clients_than_what_was_there(profile, noise):
    kept = paired = 0
    for seed, there in product(range(5), THERE):
        rivals = Rivals(there, THERE[0], held=True, clients=8 if seed % 2 else None)
        limits = {"budget_s": 60.0, "pairs_s": 15.0}
        tuner = tuner_for("throughput", seed=seed, incumbent=there, rivals=rivals, **limits)
        history = run_tuning(tuner, SyntheticTriton(profile, 2, seed, noise=noise))
        paired += any(one.task.purpose is Purpose.PAIR for one in history)
        chosen = tuner.best().candidate
        kept += chosen == there
        for load in rivals.loads(parse_goal("throughput")):
            now, before = (truth(profile, 2, one, load) for one in (chosen, there))
            assert now.throughput_per_s > 0.97 * before.throughput_per_s
            assert now.latency_s(99.0) < 1.15 * before.latency_s(99.0)
    assert kept > 0
    assert paired >= 10
