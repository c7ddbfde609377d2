"""What a plan predicts of a tuned model, against the truth of the synthetic Triton."""

from dataclasses import replace

from support.capacity import CPU, capacity_input, machine, trial_evidence
from support.synthetic_triton import (
    CONVNET,
    TEXT,
    TINY,
    TREES,
    Profile,
    SyntheticTriton,
    run_tuning,
    truth,
)
from tritongen.fleet.capacity.container_capacity import Fit, Fitter, Placer
from tritongen.fleet.capacity.model_profile import profile_model
from tritongen.model.backends import BACKENDS
from tritongen.model.business import Business, Clients, Place
from tritongen.model.evidence import Evidence
from tritongen.model.intent import ModelIntent
from tritongen.queueing import OpenLoop
from tritongen.tune.search.objective import TuneSettings, parse_goal
from tritongen.tune.search.rate_sweep import swept
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.tuner import Tuner
from tritongen.tune.tune_result import TunedModel

ON = "c6i.large"


def planned_from(profile: Profile, seed: int) -> tuple[Fit, Candidate]:
    """What a plan knows of a model that was tuned on two cores of this machine."""
    settings = TuneSettings(parse_goal("throughput"), 2, sweep_s=45.0)
    space = SearchSpace(BACKENDS["onnxruntime"], 2, batchable=True, max_batch=8)
    tuner, triton = Tuner(settings, space), SyntheticTriton(profile, 2, seed)
    run_tuning(tuner, triton)
    while (step := tuner.sweep()) is not None:
        for task in step.tasks:
            tuner.take(triton.measure(task))
    choice = tuner.best()
    candidate = choice.candidate
    result = TunedModel(
        "m", settings.objective, ModelIntent(), 2, choice, None, None, candidate, candidate, (), (),
        "", "",
        calibration=tuner.calibration(), sweep=swept(tuner.history, candidate),
    )  # fmt: skip
    intent = ModelIntent(rate=10.0, latency_ms=1e4)
    evidence = replace(trial_evidence(8.0), tuned=result.tuned, served=result.served(CPU))
    business = Business(clients=Clients(place=Place.SAME_HOST))
    given = capacity_input({"m": (8.0, intent)}, business)
    profile = profile_model(given.models[0], intent, evidence, business, CPU)
    assert profile is not None
    placer = Placer(given.models, given.intent, Evidence({"m": evidence}))
    on = replace(machine(ON), cpu=CPU, cores=2)
    return Fitter({"m": profile}, placer, 1.0).fit(("m",), on), candidate


def test_predictions_at_rates_between_those_measured_are_within_15_per_cent_in_eight_of_ten() -> (
    None
):
    errors = []
    for profile in (CONVNET, TEXT, TREES, TINY):
        for seed in range(2):
            fit, candidate = planned_from(profile, seed)
            model = fit.models[0]
            assert model.measured
            for share in (0.25, 0.45, 0.65):
                rate = share * model.curve.capacity_per_s
                real = truth(profile, 2, candidate, OpenLoop(rate)).latency_s(99.0)
                errors.append(model.curve.latency_s(rate, 99.0) / real - 1.0)
    close = sum(abs(error) <= 0.15 for error in errors)
    assert close >= 0.8 * len(errors), sorted(errors)
