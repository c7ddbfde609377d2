"""Several models in one container: shares of the cores by their loads, then one search each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritongen.errors import InvalidInputError
from tritongen.planner.core_shares import Demand, share_cores
from tritongen.queueing import FrontEnd, OpenLoop, ServedModel, Server, ServiceTimes, simulate
from tritongen.tune.search.measurement_records import History
from tritongen.tune.search.objective import Objective, Outcome
from tritongen.tune.search.search_settings import TuneSettings
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.tuner import Choice, Step, Tuner

_REQUESTS_PER_MODEL = 3_000


@dataclass(frozen=True, slots=True)
class Member:
    """One model of the container.

    Attributes:
        name: of the model.
        objective: its goal.
        space: what may be chosen for it; its cores are replaced by the model's share.
        rate_per_s: requests per second for the shares; the goal's rate when None.
        prior: service times known so far; without them the shares take models as equally heavy.
        incumbent: today's configuration, None for one thread an instance.
        baseline: measured beside the candidates, None for none.
    """

    name: str
    objective: Objective
    space: SearchSpace
    rate_per_s: float | None = None
    prior: ServiceTimes | None = None
    incumbent: Candidate | None = None
    baseline: Candidate | None = None

    @property
    def rate(self) -> float | None:
        """Requests per second, None when not stated."""
        return self.rate_per_s if self.rate_per_s is not None else self.objective.rate_per_s


@dataclass(frozen=True, slots=True)
class Together:
    """What the chosen configurations are expected to do side by side.

    Attributes:
        outcomes: by model; None for a model without a rate.
        feasible: whether every model with a rate holds its goal.
        worst: the model that misses its goal most, empty when none does.
    """

    outcomes: Mapping[str, Outcome]
    feasible: bool
    worst: str = ""


class JointTuner:
    """Tunes the models of one container, the heaviest first.

    Each model is tuned on its share of the cores, alone on the server; `together` then predicts
    them side by side, and `moved` says which core to give to another model when a goal is missed.

    Args:
        members: the models, with distinct names.
        cores: of the container.
        settings: for all; the objective is each member's own and the budget is divided evenly.
        shares: cores by model; None divides them by rate × service time.

    Raises:
        InvalidInputError: models without a name of their own, or shares beyond the cores.
    """

    def __init__(
        self,
        members: Sequence[Member],
        cores: int,
        settings: TuneSettings,
        shares: Mapping[str, int] | None = None,
    ) -> None:
        names = [member.name for member in members]
        if not members or len(set(names)) != len(names):
            raise InvalidInputError("TG304", "models to tune together need distinct names")
        self._members = {member.name: member for member in members}
        self._cores = cores
        self._settings = settings
        self.shares = dict(shares) if shares is not None else _shares(members, cores)
        if shares is not None and sum(shares.values()) > cores:
            raise InvalidInputError("TG304", f"shares {dict(shares)} exceed {cores} cores")
        self._tuners = {member.name: self._tuner(member) for member in members}

    def tuner(self, name: str) -> Tuner:
        """One model's own tuner, for its reports."""
        return self._tuners[name]

    def next(self, histories: Mapping[str, History]) -> tuple[str, Step] | None:
        """The model to measure next and what; None when all searches are over."""
        order = sorted(self._tuners, key=lambda name: (-self.shares[name], name))
        for name in order:
            step = self._tuners[name].next(histories.get(name, ()))
            if step is not None:
                return name, step
        return None

    def best(self, histories: Mapping[str, History]) -> dict[str, Choice]:
        """Every model's best so far."""
        return {name: tuner.best(histories.get(name, ())) for name, tuner in self._tuners.items()}

    def together(
        self,
        histories: Mapping[str, History],
        chosen: Mapping[str, Candidate] | None = None,
    ) -> Together:
        """Predicts the configurations side by side, each model at its rate.

        Models without a rate, or not calibrated yet, are left out.

        Args:
            histories: by model.
            chosen: configurations, None for every model's best so far.
        """
        candidates = chosen or {n: c.candidate for n, c in self.best(histories).items()}
        models: list[ServedModel] = []
        front = 0.0
        for name, member in self._members.items():
            found = self._tuners[name].race(histories.get(name, ()))
            if found is None or member.rate is None:
                continue
            calibration = found[0].predictor.calibration
            load = OpenLoop(member.rate)
            server = calibration.server(candidates[name], load, member.space.request_rows)
            service = server.models[0].service.on_cores(self._cores)
            models.append(replace(server.models[0], name=name, service=service))
            front = max(front, calibration.front_end_s)
        if not models:
            return Together({}, feasible=True)
        server = Server(tuple(models), self._cores, FrontEnd(front) if front > 0.0 else None)
        requests = _REQUESTS_PER_MODEL * len(models)
        result = simulate(server, seed=self._settings.seed, requests=requests)
        outcomes = {
            figures.name: Outcome(
                figures.throughput_per_s,
                figures.latency_s(self._members[figures.name].objective.percentile),
                candidates[figures.name].total_threads,
                saturated=figures.unfinished > 0.1 * requests,
            )
            for figures in result.models
        }
        return self._judged(outcomes)

    def moved(self, histories: Mapping[str, History]) -> dict[str, int] | None:
        """Shares with one core moved to the model that misses its goal; None when none helps.

        Every other model with more than one core is tried as the giver. Tune again with the new
        shares: only the two models change.
        """
        now = self.together(histories)
        if now.feasible or not now.worst:
            return None
        tried = []
        for giver, share in self.shares.items():
            if giver == now.worst or share < 2:
                continue
            shares = {**self.shares, giver: share - 1, now.worst: self.shares[now.worst] + 1}
            chosen = {name: self._forecast(name, shares[name], histories) for name in self._members}
            after = self.together(histories, chosen)
            tried.append((self._missing(after), giver, shares))
        best = min(tried, default=None, key=lambda item: (item[0], item[1]))
        return best[2] if best is not None and best[0] < self._missing(now) else None

    def _forecast(self, name: str, cores: int, histories: Mapping[str, History]) -> Candidate:
        """The configuration that is expected to be best on another share, by its instances."""
        history = histories.get(name, ())
        current = self._tuners[name].best(history).candidate
        if cores == self.shares[name]:
            return current
        found = self._tuners[name].race(history)
        if found is None:
            return current
        race = found[0]
        space = replace(race.space, cores=cores)
        legal = [
            replace(candidate, arena=current.arena)
            for candidate in space.candidates()
            if candidate.max_batch_size == current.max_batch_size
            and candidate.queue_delay_us == current.queue_delay_us
            and candidate.inter_op == current.inter_op
        ]
        objective = self._members[name].objective
        return min(
            legal,
            key=lambda c: objective.rank(race.predictor.forecast(c).outcome, c.simplicity),
            default=current,
        )

    def _judged(self, outcomes: Mapping[str, Outcome]) -> Together:
        missing = {
            name: self._members[name].objective.shortfall(outcome)
            for name, outcome in outcomes.items()
        }
        worst = max(missing, key=lambda name: (missing[name], name))
        feasible = missing[worst] <= 0.0
        return Together(outcomes, feasible, "" if feasible else worst)

    def _missing(self, together: Together) -> float:
        return sum(
            self._members[name].objective.shortfall(outcome)
            for name, outcome in together.outcomes.items()
        )

    def _tuner(self, member: Member) -> Tuner:
        share = self.shares[member.name]
        settings = replace(
            self._settings,
            objective=member.objective,
            cores=float(share),
            budget_s=self._settings.budget_s / len(self._members),
        )
        space = replace(member.space, cores=share)
        return Tuner(settings, space, member.incumbent, member.baseline, member.prior)


def _shares(members: Sequence[Member], cores: int) -> dict[str, int]:
    """Cores by rate × service time, at least one each even where there are too few."""
    demands = tuple(
        Demand(
            member.name,
            member.rate,
            member.prior.alone(1, 1) * 1e3 if member.prior is not None else None,
        )
        for member in members
    )
    shared = share_cores(demands, cores)
    if shared is None:
        return {member.name: 1 for member in members}
    return {name: share.cores for name, share in shared.items()}
