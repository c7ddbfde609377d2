"""What a probe asks for, what it makes of a first answer, and what becomes of several models."""

import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest

from support.probe import a_level
from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.probe import probe_models, prober
from tritongen.probe.load_engine import FailureCode
from tritongen.probe.load_job import LoadJob, _state_sizes
from tritongen.probe.probe_models import ProbeRun, _groups, _joined, _shared_slots
from tritongen.probe.probe_request import ModelChoice, ProbeRequest
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.triton.address import ClientProtocol, Endpoint
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.statistics import ServedConfig, served_config


def config(most: int = 0, **more: object) -> ServedConfig:
    return served_config("m", {"max_batch_size": most, **more})


def job(output: TensorMeta, most: int = 0, **more: object) -> LoadJob:
    meta = ModelMeta("m", ("1",), "", (), (output, TensorMeta("other", "BYTES", (-1,))))
    return LoadJob("m", "", meta, config(most, **more), ())


@pytest.mark.parametrize(
    ("output", "most", "room"),
    [
        (TensorMeta("y", "FP32", (2, 3)), 0, 24),
        (TensorMeta("y", "FP32", (-1, 3)), 0, 24 * 2 + 1024),
        (TensorMeta("y", "FP32", (-1, 3)), 4, 24),
        (TensorMeta("y", "FP32", (-1, -1)), 4, 24 * 2 + 1024),
        (TensorMeta("y", "BYTES", (2, 3)), 0, 24 * 2 + 1024),
    ],
)
def test_an_output_of_no_fixed_size_gets_more_room(output, most, room):
    assert prober._room(24, job(output, most), "y") == room


def test_a_decoupled_model_is_probed_over_grpc_alone():
    plain = job(TensorMeta("y", "FP32", (1,)))
    stream = job(TensorMeta("y", "FP32", (1,)), model_transaction_policy={"decoupled": True})
    http = Endpoint("h", 1, ClientProtocol.HTTP)
    grpc = Endpoint("h", 1, ClientProtocol.GRPC)
    assert prober._streaming_where_needed(http, [plain]) == http
    assert prober._streaming_where_needed(grpc, [plain]) == grpc
    assert prober._streaming_where_needed(grpc, [plain, stream]).streaming
    with pytest.raises(InvalidInputError) as caught:
        prober._streaming_where_needed(http, [plain, stream])
    assert (caught.value.code, caught.value.where) == ("TG914", "m")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (FailureCode.TIMEOUT, "TG918"),
        (FailureCode.UNFINISHED, "TG918"),
        (FailureCode.WRONG_RESPONSE, "TG915"),
        (FailureCode.WRONG_VALUES, "TG915"),
        *((code, "TG904") for code in sorted(prober._REFUSED | prober._RAISED)),
        (FailureCode.CONNECTION, None),
    ],
)
def test_what_a_failed_first_request_is_called(code, told):
    found = prober._refusal("m", code, "words")
    assert (found.code if found is not None else None) == told
    assert found is None or found.where == "m"


CLOSED, OPEN = ClosedLoop(3), OpenLoop(5.0)


@pytest.mark.parametrize(
    ("loads", "shared", "slots"),
    [
        ((CLOSED, ClosedLoop(7)), True, 7),
        ((OPEN,), True, probe_models._OPEN_SHARED_SLOTS),
        ((ClosedLoop(9999), OPEN), True, 9999),
        ((CLOSED, OPEN), True, probe_models._OPEN_SHARED_SLOTS),
        ((CLOSED, OPEN), False, 0),
    ],
)
def test_places_in_shared_memory(loads, shared, slots):
    asked = replace(ProbeRequest(loads=loads), shared_memory=shared)
    assert _shared_slots(asked) == slots


def test_models_with_shares_are_probed_at_once_and_others_in_turn():
    a, b, c = ModelChoice("a"), ModelChoice("b", share=2.0), ModelChoice("c", share=1.0)
    assert _groups([a, b, c]) == [(b, c), (a,)]
    assert _groups([a]) == [(a,)]
    assert _groups([]) == []


def test_several_problems_are_one_with_details():
    one = EnvironmentProblem("TG908", "gone", where="h", details=["x"])
    other = InvalidInputError("TG904", "refused", where="m")
    assert _joined([one]) is one
    both = _joined([one, other])
    assert (both.code, both.what, both.where) == ("TG908", "gone", "h")
    own, others = both.details
    assert own == "x"
    assert others.startswith("TG904 m: refused")


def run_of(models: tuple[ModelChoice, ...] = (), ready: tuple[str, ...] = ()) -> ProbeRun:
    server = SimpleNamespace(
        endpoint=Endpoint("h", 1, ClientProtocol.HTTP), server="triton", runtime="", replicas=(),
        control=SimpleNamespace(ready_models=lambda: list(ready), config=lambda _name: {}),
        configs={},
    )  # fmt: skip
    return ProbeRun(None, ProbeRequest(loads=(CLOSED,), models=models), server, None)


def test_the_models_asked_for_else_every_ready_one():
    asked = (ModelChoice("x"),)
    assert run_of(asked, ("a",)).choices() == asked
    assert run_of((), ("a", "b")).choices() == (ModelChoice("a"), ModelChoice("b"))
    with pytest.raises(EnvironmentProblem) as caught:
        run_of().choices()
    assert (caught.value.code, caught.value.where) == ("TG916", "h:1")


def measured(run: ProbeRun, *fates: object) -> list[int]:
    """The numbers of those that were measured; a fate is a level's problem, or how it ends."""
    done = []

    def measure(number: int) -> None:
        done.append(number)
        fate = fates[number]
        if isinstance(fate, BaseException):
            raise fate
        run.report.levels += [a_level()]
        run.report.problem = fate

    run.each_in_turn(range(len(fates)), measure)
    return done


def test_what_ails_one_model_does_not_keep_the_others_from_being_measured():
    run = run_of()
    assert measured(run, None, InvalidInputError("TG904", "refused", where="m"), None) == [0, 1, 2]
    assert run.report.problem.code == "TG904"
    run = run_of()
    assert measured(run, EnvironmentProblem("TG919", "failed", where="m"), None) == [0, 1]
    assert run.report.problem.code == "TG919"
    run = run_of()
    assert measured(run, None, None) == [0, 1]
    assert run.report.problem is None


def test_where_nothing_could_be_measured_the_problem_is_raised():
    run = run_of()
    with pytest.raises(InvalidInputError, match="refused"):
        measured(run, InvalidInputError("TG904", "refused"))
    with pytest.raises(KeyboardInterrupt):
        measured(run_of(), KeyboardInterrupt())


def test_a_server_that_is_gone_or_an_interrupt_ends_the_round():
    gone = EnvironmentProblem(min(probe_models._SERVER_GONE), "gone")
    assert measured(run_of(), None, gone, None) == [0, 1]
    run = run_of()
    assert measured(run, None, KeyboardInterrupt(), None) == [0, 1]
    assert run.report.interrupted == signal.SIGINT


def test_sizes_beside_states_without_a_batch_axis():
    def sizes(*states: dict[str, object]) -> dict[int, int]:
        return _state_sizes({"sequence_batching": {"state": list(states)}})

    assert sizes() == {}
    assert _state_sizes({"sequence_batching": {}}) == {}
    assert sizes({"dims": ["4", "-1"]}) == {0: 1}
    first = [{"dims": [4, 7]}]
    assert sizes({"dims": ["4", "-1"], "initial_state": first}) == {0: 1, 1: 7}
    assert sizes({"dims": ["-1", "0"], "initial_state": first}) == {0: 4}
