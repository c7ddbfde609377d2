"""The stepper on a synthetic Triton: rounds, budgets, ties, faults and what it reports."""

from collections import Counter

import pytest

from support.synthetic_triton import (
    CONVNET,
    TEXT,
    TREES,
    SyntheticTriton,
    run_tuning,
    true_outcome,
)
from support.tuning import SATURATING, best_of, loss, tune, tuner_for
from tritongen.model.backends import BACKENDS
from tritongen.probe.statistics.intervals import Interval
from tritongen.queueing import ClosedLoop, OpenLoop, ServicePoint, ServiceTimes
from tritongen.tune.journal import JournalHeader, decode, encode
from tritongen.tune.search.judge import RaceVerdict
from tritongen.tune.search.measurement_records import LoadReading, Purpose, TaskRecord, elapsed_s
from tritongen.tune.search.objective import TuneSettings, parse_goal
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.standings import Measurement
from tritongen.tune.search.tuner import Evaluated, Phase, Tuner, evaluated, pareto

BASELINE = Candidate(2, 2, 4, 0)


def take(tuner, triton, tasks):
    for task in tasks:
        tuner.take(triton.measure(task))


class Small(SyntheticTriton):
    """Holds one instance."""

    def measure(self, task):
        record = super().measure(task)
        if task.candidate.instances > 1:
            return TaskRecord(task, None, record.started_s, record.ended_s, "out of memory")
        return record


class TestDeterminism:
    def test_same_seed_same_run(self):
        first = tune("throughput", TEXT, seed=3)
        second = tune("throughput", TEXT, seed=3)
        assert first[1] == second[1]
        assert first[2] == second[2]

    def test_a_killed_run_goes_on_as_if_it_had_not_been(self):
        whole = tune("throughput", TREES, seed=5)
        header = JournalHeader("trees", "throughput", 2, 5, "x")
        for cut in (3, 9, 20):
            text = encode(header, whole[1][:cut]) + '{"half a li'
            kept = decode(text, header)
            assert kept == whole[1][:cut]
            triton = SyntheticTriton(TREES, 2, 5, now_s=kept[-1].ended_s)
            tuner = tuner_for("throughput", seed=5, history=kept)
            assert run_tuning(tuner, triton) == whole[1]
            assert tuner.best() == whole[2]

    def test_tasks_of_a_round_may_come_back_in_any_order(self):
        tuner = tuner_for("throughput")
        triton = SyntheticTriton(TEXT, 2, 1)
        while (step := tuner.next()).phase is Phase.CALIBRATE:
            take(tuner, triton, step.tasks)
        first, *others = step.tasks
        take(tuner, triton, others[:1])
        rest = tuner.next()
        assert set(rest.tasks) == {first, *others[1:]}
        assert rest.round == 1


class TestLittleTime:
    def test_the_best_todays_and_tritons_own_are_measured_in_any_case(self):
        today, tritons = Candidate(1, 1), Candidate(2, 2, 4, 0)
        tuner = tuner_for("throughput", budget_s=2.0, incumbent=today, baseline=tritons)
        triton = SyntheticTriton(TEXT, 2, 1, switch_s=10.0)
        while (step := tuner.next()).phase is Phase.CALIBRATE:
            take(tuner, triton, step.tasks[:1])
        asked = {(task.purpose, task.candidate) for task in step.tasks}
        assert len(asked) == 3
        assert {(Purpose.RACE, today), (Purpose.BASELINE, tritons)} < asked
        take(tuner, triton, step.tasks)
        assert tuner.next() is None
        assert tuner.best().measured is not None

    @pytest.mark.parametrize("seed", range(3))
    def test_goes_on_until_a_candidate_could_be_measured(self, seed):
        incumbent, baseline = Candidate(2, 1), Candidate(1, 2)
        wishes = {"incumbent": incumbent, "baseline": baseline}
        tuner = tuner_for("throughput", seed=seed, budget_s=20.0, max_batch=1, **wishes)
        triton = Small(TREES, 2, seed, switch_s=5.0)
        while not tuner.over(triton.now_s) and (step := tuner.next()) is not None:
            take(tuner, triton, step.tasks[:1])
        choice = tuner.best()
        assert choice.candidate.instances == 1
        assert choice.measured is not None
        assert triton.now_s < 40.0

    def test_where_none_can_be_measured_the_same_time_again_is_enough(self):
        incumbent = Candidate(2, 1)
        tuner = tuner_for("throughput", budget_s=20.0, incumbent=incumbent, baseline=incumbent)
        triton = Small(TREES, 2, 1)
        while (step := tuner.next()).phase is Phase.CALIBRATE:
            take(tuner, triton, step.tasks[:1])
        tasks = [task for task in step.tasks if task.candidate == incumbent]
        take(tuner, triton, tasks)
        assert not tuner.over(20.0)
        assert tuner.over(40.0)

    def test_under_a_limit_the_clients_that_were_measured_count(self):
        # The machine was busy while it was calibrated: more clients than predicted hold the limit.
        busy, quiet = SyntheticTriton(TEXT, 2, 1), SyntheticTriton(TREES, 2, 1)
        tuner = tuner_for("p99<60ms", incumbent=Candidate(2, 1))
        while (step := tuner.next()).round < 2:
            take(tuner, busy if step.phase is Phase.CALIBRATE else quiet, step.tasks)
        measured = {(r.task.candidate, r.task.load) for r in tuner.history}
        assert any((task.candidate, task.load) not in measured for task in step.tasks)
        # The time is up before anybody was measured with more clients.
        choice = tuner.best()
        assert choice.measured is not None
        assert choice.feasible
        assert (choice.candidate, choice.load) in measured

    def test_one_round_alone_takes_out_only_who_is_far_behind(self):
        triton = SyntheticTriton(CONVNET, 2, 1, noise=0.2)
        tuner = tuner_for("throughput")
        while (step := tuner.next()).round < 2:
            take(tuner, triton, step.tasks)
        state = tuner.race.settled()
        out = [arm for arm in state.arms.values() if arm.why]
        lead = [state.standings.lead(arm.candidate, state.leader).value for arm in out]
        assert all(value < -1.0 for value in lead)


class TestTies:
    def test_without_any_difference_the_simpler_wins(self):
        # Requests of a client alone never meet: nothing but the threads can matter.
        profile = TEXT.__class__(
            "plain", 0.01, ((1, 1.0), (8, 8.0)), ((1, 1.0), (2, 1.0)), 0.0, 0.0, 0.0, quirk=0.0
        )
        for seed in range(5):
            triton = SyntheticTriton(profile, 2, seed, noise=0.02)
            _, _, choice = tune("throughput@1", profile, seed=seed, triton=triton)
            assert choice.candidate == Candidate(1, 1)

    def test_ties_are_reported(self):
        triton = SyntheticTriton(CONVNET, 2, 1, noise=0.01)
        _, _, choice = tune("throughput@4", CONVNET, triton=triton, max_batch=4)
        assert choice.candidate == choice.tied[0]


class TestInfeasible:
    def test_a_limit_below_one_execution_is_recognised_early(self):
        tuner, history, choice = tune("p99<2ms@50/s", CONVNET)
        assert choice.verdict is RaceVerdict.INFEASIBLE
        assert not choice.feasible
        assert elapsed_s(history) <= 60.0
        assert tuner.next() is None
        (limit, *_) = choice.nearest
        objective = parse_goal("p99<2ms@50/s")
        real = true_outcome(CONVNET, 2, objective, choice.candidate, choice.load)
        assert limit.limit_s == pytest.approx(real.latency_s, rel=0.3)

    def test_a_rate_beyond_the_cores_names_one_within(self):
        _, history, choice = tune("p99<100ms@900/s", CONVNET)
        assert choice.verdict is RaceVerdict.INFEASIBLE
        assert elapsed_s(history) <= 60.0
        rates = [goal.rate_per_s for goal in choice.nearest if goal.rate_per_s < 900.0]
        assert rates
        assert 100.0 < rates[0] < 260.0


class TestFaults:
    @pytest.mark.parametrize("budget", [10.0, 15.0, 20.0, 60.0])
    def test_a_configuration_that_cannot_be_loaded_loses(self, budget):
        triton = Small(CONVNET, 2, 1)
        tuner, _, choice = tune("throughput", CONVNET, triton=triton, budget_s=budget)
        assert choice.candidate.instances == 1
        assert choice.measured is not None
        failed = [arm for arm in tuner.race.state.arms.values() if arm.failures]
        assert failed
        assert all("out of memory" in arm.why for arm in failed if arm.failures > 1)

    def test_one_failure_is_forgiven(self):
        class Hiccup(SyntheticTriton):
            def measure(self, task):
                record = super().measure(task)
                if task.purpose is Purpose.RACE and task.round == 1 and task.candidate.threads == 1:
                    return TaskRecord(task, None, record.started_s, record.ended_s, "server died")
                return record

        _, _, choice = tune("throughput", TEXT, triton=Hiccup(TEXT, 2, 2))
        assert choice.candidate.threads == 1
        assert choice.measured.rounds >= 3

    def test_failed_requests_count_as_a_failure(self):
        class Flaky(SyntheticTriton):
            def measure(self, task):
                record = super().measure(task)
                if task.candidate.max_batch_size and task.purpose is Purpose.RACE:
                    bad = LoadReading(1e6, record.reading.latencies_s, 100, failures=50)
                    return TaskRecord(task, bad, record.started_s, record.ended_s)
                return record

        _, _, choice = tune("throughput", TREES, triton=Flaky(TREES, 2, 2))
        assert choice.candidate.max_batch_size == 0

    def test_nothing_works_and_the_incumbent_stays(self):
        class Dead(SyntheticTriton):
            def measure(self, task):
                begun = self.now_s
                self.now_s += 0.5
                return TaskRecord(task, None, begun, self.now_s, "connection refused")

        incumbent = Candidate(1, 2)
        tuner, _, choice = tune("throughput", TEXT, triton=Dead(TEXT, 2, 1), incumbent=incumbent)
        assert choice.candidate == incumbent
        assert choice.verdict is RaceVerdict.FAILED
        assert tuner.next() is None

    def test_a_server_that_dies_in_the_race_keeps_the_best_so_far(self):
        class Dying(SyntheticTriton):
            def measure(self, task):
                record = super().measure(task)
                if task.purpose is Purpose.RACE and task.round > 2:
                    return TaskRecord(task, None, record.started_s, record.ended_s, "server died")
                return record

        _, history, choice = tune("throughput", CONVNET, triton=Dying(CONVNET, 2, 1))
        assert choice.measured is not None
        assert max(record.task.round for record in history) <= 8


class TestBudget:
    @pytest.mark.parametrize("budget", [5.0, 15.0, 40.0, 120.0])
    def test_the_budget_holds(self, budget):
        _, history, choice = tune("throughput", CONVNET, budget_s=budget)
        # A measurement that has begun is ended; the first three of a race are always taken.
        assert elapsed_s(history) <= budget + 4.0
        assert choice.candidate.total_threads <= 2

    def test_there_is_a_valid_best_at_every_moment(self):
        whole = tune("p99<60ms", CONVNET, max_batch=4)[1]
        for cut in range(0, len(whole), 7):
            choice = tuner_for("p99<60ms", max_batch=4, history=whole[:cut]).best()
            assert choice.candidate.total_threads <= 2

    def test_the_best_so_far_gets_its_interval(self):
        _, _, choice = tune("throughput", TEXT)
        for found in (choice.measured.throughput, choice.measured.latency_s):
            assert found.low < found.value < found.high

    def test_the_intervals_are_narrower_than_the_noise(self):
        _, _, choice = tune("throughput", TEXT)
        assert choice.measured.throughput.high / choice.measured.throughput.low < 1.2


class TestRounds:
    def test_every_candidate_once_a_round_in_changing_order(self):
        _, history, _ = tune("throughput", TEXT)
        raced = [r.task for r in history if r.task.purpose is Purpose.RACE]
        counts = Counter((task.round, task.candidate) for task in raced)
        assert set(counts.values()) == {1}
        orders = {number: [t.candidate for t in raced if t.round == number] for number in (1, 2, 3)}
        common = [c for c in orders[1] if c in orders[2] and c in orders[3]]
        assert len({tuple(c for c in order if c in common) for order in orders.values()}) > 1

    def test_the_baseline_races_but_is_never_chosen(self):
        baseline = Candidate(2, 2, 4, 0)
        tuner, history, choice = tune("throughput", CONVNET, baseline=baseline)
        measured = [r for r in history if r.task.purpose is Purpose.BASELINE]
        assert len(measured) == 3
        assert choice.candidate != baseline
        found = tuner.baseline()
        assert found.throughput.value < choice.measured.throughput.value

    def test_the_incumbent_always_races(self):
        incumbent = Candidate(1, 1)
        _, history, choice = tune("throughput", CONVNET, incumbent=incumbent)
        assert incumbent in {r.task.candidate for r in history if r.task.purpose is Purpose.RACE}
        assert choice.candidate != incumbent

    def test_an_open_loop_wherever_a_rate_is_given(self):
        _, history, _ = tune("latency@50/s", CONVNET, max_batch=2, budget_s=60.0)
        raced = {r.task.load for r in history if r.task.purpose is Purpose.RACE}
        assert raced == {OpenLoop(50.0)}

    def test_latency_goals_take_enough_requests(self):
        _, history, _ = tune("p99<60ms", TREES, max_batch=8, budget_s=60.0)
        raced = [r for r in history if r.task.purpose is Purpose.RACE]
        assert min(r.task.min_requests for r in raced) >= 250

    def test_a_prior_shortens_the_calibration(self):
        prior = ServiceTimes((ServicePoint(1, 1, 0.006), ServicePoint(32, 1, 0.11)), 2.0)
        with_prior = tuner_for("throughput", prior=prior).next()
        assert len(with_prior.tasks) < len(tuner_for("throughput").next().tasks)
        _, _, choice = tune("throughput", TEXT, prior=prior)
        best = best_of("throughput", TEXT, 2, SATURATING)
        assert loss("throughput", TEXT, 2, choice, best) <= 0.05


def new_tuner():
    settings = TuneSettings(parse_goal("throughput"), 2, budget_s=60.0)
    space = SearchSpace(BACKENDS["onnxruntime"], 2, batchable=True, max_batch=8)
    return Tuner(settings, space, incumbent=Candidate(1, 1), baseline=BASELINE)


@pytest.fixture(scope="module")
def tuner():
    tuner = new_tuner()
    run_tuning(tuner, SyntheticTriton(CONVNET, 2, 1))
    return tuner


def test_every_candidate_has_a_row(tuner):
    rows = evaluated(tuner)
    race = tuner.race
    assert {row.candidate for row in rows} == {*race.space.candidates(), BASELINE}


def test_the_best_comes_first_and_the_losers_say_why(tuner):
    rows = evaluated(tuner)
    assert rows[0].fate == "best"
    assert rows[0].candidate == tuner.best().candidate
    assert rows[0].why == ""
    assert all(row.why for row in rows[1:] if row.fate != "baseline")
    assert all(row.measured.rounds for row in rows if row.measured is not None)


def test_a_slow_incumbent_is_behind_with_numbers(tuner):
    rows = evaluated(tuner)
    (row,) = [row for row in rows if row.candidate == Candidate(1, 1)]
    assert row.fate == "behind"
    share, _, rest = row.why.partition("% behind ")
    assert float(share) > 10.0
    # Whoever led when it dropped out has both cores, and was measured to be faster.
    (leader,) = [one for one in rows if one.candidate.key == rest.split(" (")[0]]
    assert leader.candidate.total_threads == 2
    assert leader.measured.throughput.low > row.measured.throughput.high


def test_the_baseline_is_measured_but_not_predicted(tuner):
    (row,) = [row for row in evaluated(tuner) if row.fate == "baseline"]
    assert row.candidate == BASELINE
    assert row.predicted is None
    assert row.measured.rounds == 3


def test_nothing_to_report_before_calibration():
    assert evaluated(new_tuner()) == ()


def test_the_front_holds_what_nothing_beats():
    def row(instances, throughput, latency, fate="behind"):
        def exactly(value):
            return Interval(value, value, value)

        load = ClosedLoop(1)
        found = Measurement(load, exactly(throughput), exactly(latency), 1)
        return Evaluated(Candidate(instances, 1), load, fate, None, found)

    slow, fast, beaten = row(1, 100.0, 0.01), row(2, 200.0, 0.02), row(3, 90.0, 0.015)
    untried = Evaluated(Candidate(4, 1), ClosedLoop(1), "predicted", None)
    assert pareto([fast, beaten, slow, row(5, 999.0, 0.001, "baseline"), untried]) == (slow, fast)
