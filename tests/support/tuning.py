"""The tuner on a synthetic Triton: a whole run by goal, profile and seed, and the known optimum."""

import functools
import math

from support.synthetic_triton import (
    SyntheticTriton,
    exhaustive_best,
    run_tuning,
    true_outcome,
)
from tritongen.model.backends import BACKENDS
from tritongen.queueing import ClosedLoop
from tritongen.tune.search.objective import TuneSettings, parse_goal
from tritongen.tune.search.search_space import SearchSpace, delay_choices
from tritongen.tune.search.tuner import Tuner

ORT = BACKENDS["onnxruntime"]
# Clients that bring out the highest throughput of small and of large batches.
SATURATING = (ClosedLoop(16), ClosedLoop(64))


def space_of(cores, max_batch=32):
    return SearchSpace(ORT, cores, batchable=True, max_batch=max_batch)


def tuner_for(goal, cores=2, seed=0, max_batch=32, **options):
    settings = {
        key: options.pop(key) for key in tuple(options) if key in TuneSettings.__dataclass_fields__
    }
    return Tuner(
        TuneSettings(parse_goal(goal), cores, seed=seed, **settings),
        space_of(cores, max_batch),
        **options,
    )


def tune(goal, profile, cores=2, seed=0, triton=None, **options):
    triton = triton or SyntheticTriton(profile, cores, seed)
    tuner = tuner_for(goal, cores, seed, **options)
    history = run_tuning(tuner, triton)
    return tuner, history, tuner.best()


@functools.cache
def best_of(goal, profile, cores, loads, max_batch=32):
    objective = parse_goal(goal)
    delays = delay_choices(profile.first_s, objective.limit_s)
    candidates = space_of(cores, max_batch).with_delays(delays).candidates()
    return exhaustive_best(profile, cores, objective, candidates, loads)


def loss(goal, profile, cores, choice, best):
    """How far the choice truly is behind the best, as a share."""
    objective = parse_goal(goal)
    found = true_outcome(profile, cores, objective, choice.candidate, choice.load)
    return -math.expm1(objective.gain(found) - objective.gain(best))
