"""Tunings of models that are faster, or slower, without the memory arena."""

from dataclasses import replace

from support.synthetic_triton import TEXT, SyntheticTriton, run_tuning
from tritongen.model.backends import BACKENDS
from tritongen.tune.search.objective import TuneSettings, parse_goal
from tritongen.tune.search.search_space import SearchSpace
from tritongen.tune.search.tuner import Tuner

ORT = BACKENDS["onnxruntime"]


FASTER = replace(TEXT, name="text without arena", without_arena=0.85)


SLOWER = replace(TEXT, name="text with arena", without_arena=1.3)


def tuner_of(seed=0, budget_s=120.0, goal="throughput", history=()):
    space = SearchSpace(ORT, 2, batchable=True, arena_test=True)
    settings = TuneSettings(parse_goal(goal), 2, budget_s=budget_s, seed=seed)
    return Tuner(settings, space, history=history)


def tuned(profile, seed=0, triton=None, **options):
    tuner = tuner_of(seed, **options)
    history = run_tuning(tuner, triton or SyntheticTriton(profile, 2, seed, noise=0.04))
    return tuner, history, tuner.best()


def without_arena(history):
    return [record.task for record in history if not record.task.candidate.arena]
