"""Several models in one container: what their choices are expected to do side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tritongen.planner.context import show_figure
from tritongen.queueing import FrontEnd, OpenLoop, ServedModel, Server, simulate
from tritongen.tune.search.objective import Performance, show_duration
from tritongen.tune.search.predict import simulated_outcome
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.tuner import Tuner

# Simulated: enough for a rough p99. Chosen.
_REQUESTS_PER_MODEL = 3_000


@dataclass(frozen=True, slots=True)
class CoLocationForecast:
    """What configurations are expected to do side by side.

    Attributes:
        outcomes: by model; models that were not calibrated are missing.
        feasible: whether every model holds its goal.
        worst: the model that misses its goal most, empty when none does.
    """

    outcomes: Mapping[str, Performance]
    feasible: bool
    worst: str = ""


class CoLocation:
    """Models of one container, each tuned alone on the server on its share of the cores.

    Args:
        tuners: by model, with what was measured.
        rates: requests per second, by model.
        cores: of the container.
        seed: of the simulations.
    """

    def __init__(
        self, tuners: Mapping[str, Tuner], rates: Mapping[str, float], cores: int, seed: int
    ) -> None:
        self._tuners = {name: tuner for name, tuner in tuners.items() if name in rates}
        self._rates, self._cores, self._seed = rates, cores, seed
        self._best = {name: tuner.best().candidate for name, tuner in self._tuners.items()}
        self._shares = {name: tuner.space.cores for name, tuner in tuners.items()}

    def forecast(self, chosen: Mapping[str, Candidate] | None = None) -> CoLocationForecast:
        """Predicts the configurations side by side, each model at its rate.

        Args:
            chosen: configurations, None for every model's best so far.
        """
        candidates = chosen or self._best
        models: list[ServedModel] = []
        front_end_s = 0.0
        for name, tuner in self._tuners.items():
            if tuner.race is None:
                continue
            calibration = tuner.race.predictor.calibration
            load = OpenLoop(self._rates[name])
            alone = calibration.server(candidates[name], load, tuner.space.request_rows)
            service = alone.models[0].service.on_cores(self._cores)
            models.append(replace(alone.models[0], name=name, service=service))
            front_end_s = max(front_end_s, calibration.front_end_s)
        if not models:
            return CoLocationForecast({}, feasible=True)
        front_end = FrontEnd(front_end_s) if front_end_s > 0.0 else None
        requests = _REQUESTS_PER_MODEL * len(models)
        result = simulate(
            Server(tuple(models), self._cores, front_end), seed=self._seed, requests=requests
        )
        outcomes = {
            found.name: simulated_outcome(
                found,
                OpenLoop(self._rates[found.name]),
                candidates[found.name],
                self._tuners[found.name].objective,
                requests,
            )
            for found in result.models
        }
        missing = self._shortfalls(outcomes)
        worst = max(missing, key=lambda name: (missing[name], name))
        feasible = missing[worst] <= 0.0
        return CoLocationForecast(outcomes, feasible, "" if feasible else worst)

    def moved(self, now: CoLocationForecast) -> dict[str, int] | None:
        """Shares with one core moved to the model that misses its goal; None when none helps.

        Every other model with more than one core is tried as the giver. Tune again with the new
        shares: only the two models change.

        Args:
            now: the forecast of today's shares.
        """
        if now.feasible or not now.worst:
            return None
        tried = []
        for giver, share in self._shares.items():
            if giver == now.worst or share < 2:
                continue
            shares = {**self._shares, giver: share - 1, now.worst: self._shares[now.worst] + 1}
            chosen = {name: self._expected_best(name, shares[name]) for name in self._tuners}
            after = sum(self._shortfalls(self.forecast(chosen).outcomes).values())
            tried.append((after, giver, shares))
        best = min(tried, default=None, key=lambda item: (item[0], item[1]))
        today = sum(self._shortfalls(now.outcomes).values())
        return best[2] if best is not None and best[0] < today else None

    def _expected_best(self, name: str, cores: int) -> Candidate:
        """The configuration that is expected to be best on another share, by its instances."""
        tuner, current = self._tuners[name], self._best[name]
        race = tuner.race
        if race is None or cores == self._shares[name]:
            return current
        legal = [
            replace(candidate, arena=current.arena)
            for candidate in replace(race.space, cores=cores).candidates()
            if candidate.max_batch_size == current.max_batch_size
            and candidate.queue_delay_us == current.queue_delay_us
            and candidate.inter_op == current.inter_op
        ]
        rank, forecast = tuner.objective.rank, race.predictor.forecast
        return min(legal, key=lambda c: rank(forecast(c).outcome, c.simplicity), default=current)

    def _shortfalls(self, outcomes: Mapping[str, Performance]) -> dict[str, float]:
        return {
            name: self._tuners[name].objective.shortfall(outcome)
            for name, outcome in outcomes.items()
        }


def side_by_side(
    tuners: Mapping[str, Tuner], rates: Mapping[str, float], cores: int, seed: int
) -> tuple[CoLocationForecast | None, tuple[str, ...]]:
    """The prediction for all models at their rates, and what there is to say about it.

    Args:
        tuners: by model, with what was measured of each, alone on the server.
        rates: requests per second, by model; those without are left out.
        cores: of the container.
        seed: of the simulations.

    Returns:
        None where fewer than two models have a rate and measurements.
    """
    measured = {name: tuner for name, tuner in tuners.items() if tuner.history}
    rates = {name: rate for name, rate in rates.items() if name in measured}
    if len(rates) < 2:
        return None, ()
    models = CoLocation(measured, rates, cores, seed)
    found = models.forecast()
    parts = [
        f"{name} {show_figure(outcome.throughput_per_s)}/s at "
        f"p{measured[name].objective.percentile:g} "
        f"{show_duration(float(f'{outcome.latency_s:.3g}'))}"
        for name, outcome in found.outcomes.items()
    ]
    notes = [f"side by side at their rates, by simulation: {', '.join(parts)}"]
    if not found.feasible:
        notes.append(f"side by side {found.worst} is expected to miss its goal")
        notes.append(_other_shares(models.moved(found)))
    return found, tuple(notes)


def _other_shares(moved: Mapping[str, int] | None) -> str:
    if moved is None:
        return "no other split of the cores is expected to help: give the target more"
    listed = ", ".join(f"{name} {cores}" for name, cores in sorted(moved.items()))
    return (
        f"other shares of the cores are expected to help ({listed}): state them by "
        "`instances` and `threads` in tritongen.yaml and tune again"
    )
