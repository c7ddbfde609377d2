"""A model as the tuner sees it: its space, its baseline, and what a candidate renders to."""

from dataclasses import replace

import pytest

from tritongen.config.protobuf import new_model_config
from tritongen.errors import InvalidInputError
from tritongen.model.evidence import (
    BatchProof,
    BatchVerdict,
    Cost,
    Evidence,
    ModelEvidence,
    ObservedTensor,
    Trial,
)
from tritongen.model.facts import GraphShape, ModelFacts, ModelFormat
from tritongen.model.intent import Intent, ModelIntent, Target
from tritongen.model.serving_plan import Planned, Reason, Source
from tritongen.model.target_gpu import TargetGpu
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner import model_inputs, plan_serving
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tune_server import divide_cores
from tritongen.tune.tuned_model import _fitting_warmup, candidate_of, loadable, make_subject


def facts(*, width=1, first="n"):
    return ModelFacts(
        "m",
        "m/model.onnx",
        ModelFormat.ONNX,
        inputs=(TensorSpec("x", DType.FP32, (first, 4)),),
        outputs=(TensorSpec("y", DType.FP32, (first, 2)),),
        graph=GraphShape(10, 10 // width, width),
    )


COSTS = (Cost(1, 1, 2.0), Cost(8, 1, 6.0))


def trial(verdict=BatchVerdict.PROVEN, costs=COSTS):
    return Trial(
        "onnxruntime 1.32.0",
        ok=True,
        inputs=(ObservedTensor("x", DType.FP32, (1, 4)),),
        outputs=(ObservedTensor("y", DType.FP32, (1, 2)),),
        proof=BatchProof(verdict, "because"),
        costs=costs,
        zeros_ok=True,
    )


def subject(cores=2, own=None, model=None, seen=None, memory=None, here=64):
    model = model or facts()
    intent = Intent(
        target=Target(cpus=cores, memory_bytes=memory),
        models={"m": own or ModelIntent()},
    )
    evidence = ModelEvidence((("1/model.onnx", "0" * 64),), trial=seen or trial())
    ((gathered, share),) = model_inputs((model,), intent, Evidence({"m": evidence}), cores)
    return make_subject(
        gathered, intent, evidence, min(share, here), TuneOptions(goal="throughput")
    )


def test_what_is_known_beforehand_varies_by_the_standard_deviation():
    prior = subject(seen=trial(costs=(Cost(1, 1, 2.0, spread=0.27),))).prior
    assert prior is not None
    assert prior.cv == pytest.approx(0.2)


class TestSpace:
    def test_a_proven_batch_axis_may_be_merged_and_stays_in_any_case(self):
        space = subject().space
        assert space.merges
        assert (space.max_batch, space.unmerged) == (32, 8)
        assert all(candidate.max_batch_size for candidate in space.candidates())

    def test_no_choice_is_smaller_than_what_clients_may_send(self):
        def smallest(own: ModelIntent) -> int:
            return min(c.max_batch_size for c in subject(own=own).space.candidates())

        assert smallest(ModelIntent()) == 8
        assert smallest(ModelIntent(request_batch=12)) == 12
        assert smallest(ModelIntent(request_batch_max=32)) == 32, "so many may come"
        assert smallest(ModelIntent(max_batch_size=2)) == 2

    @pytest.mark.parametrize("verdict", [BatchVerdict.DISPROVEN, BatchVerdict.UNTESTED])
    def test_without_proof_nothing_is_merged(self, verdict):
        space = subject(seen=trial(verdict)).space
        assert not space.merges
        assert space.unmerged == 0

    def test_coupled_rows_are_never_merged(self):
        assert not subject(seen=trial(BatchVerdict.COUPLED)).space.merges

    def test_the_memory_arena_is_a_late_question_unless_an_overlay_decides(self):
        assert subject().space.arena_test
        overlaid = ModelIntent(overlay={"parameters": {"enable_mem_arena": True}})
        assert not subject(own=overlaid).space.arena_test

    def test_the_users_limits_hold(self):
        own = ModelIntent(max_batch_size=4, instances=1, threads=2, request_batch=2)
        space = subject(own=own).space
        assert set(space.splits()) == {(1, 2)}
        assert {c.max_batch_size for c in space.candidates()} == {4}
        assert space.request_rows == 2

    def test_the_users_choice_beyond_the_cores_is_refused(self):
        with pytest.raises(InvalidInputError) as caught:
            subject(own=ModelIntent(instances=2, threads=2), here=2)
        assert caught.value.code == "TG305"

    def test_weights_limit_the_instances(self):
        big = replace(facts(), weight_bytes=2**30)
        assert max(i for i, _ in subject(4, model=big, memory=3 * 2**30).space.splits()) == 2

    def test_side_by_side_operators_where_the_trial_found_them_no_slower(self):
        costs = (Cost(1, 1, 2.0), Cost(1, 1, 1.6, 0.0, 2), Cost(1, 1, 4.0, 0.0, 3))
        space = subject(model=facts(width=4), seen=trial(costs=costs)).space
        assert {candidate.inter_op for candidate in space.candidates()} == {1, 2}


class TestCandidates:
    def test_todays_configuration_is_the_plans(self):
        found = subject()
        assert found.incumbent == Candidate(2, 1, 8, 0)

    def test_tritons_own_has_two_instances_of_all_cores_and_batches_of_four(self):
        found = subject(cores=4)
        assert found.baseline == Candidate(2, 4, 4, 0)
        assert subject(model=facts(first=1)).baseline == Candidate(2, 2)

    def test_tritons_own_limits_no_thread(self):
        found = subject()
        config = loadable(found, found.baseline, default=True).config
        assert config["instance_group"][0]["count"] == 2
        assert config["max_batch_size"] == 4
        assert config["dynamic_batching"] == {}
        assert "parameters" not in config

    def test_its_threads_stay_on_the_servers_cpus(self):
        # Started without a number, ONNX Runtime's threads leave the affinity of their process.
        found = subject()
        config = loadable(found, found.baseline, default=True, unpinned=6).config
        assert config["parameters"] == {"intra_op_thread_count": {"string_value": "6"}}

    @pytest.mark.parametrize("key", ["2x1", "1x2", "1x1 b8", "2x1 b16 d500"])
    def test_what_is_loaded_is_what_build_would_write(self, key):
        found = subject()
        (wanted,) = [
            c for c in found.space.with_delays((500,)).candidates() if c.key.startswith(key)
        ][:1]
        tuned = ModelEvidence(
            found.evidence.files, found.evidence.trial, wanted.tuned("throughput", {}, 2)
        )
        cores = Planned(2, Reason(Source.TARGET, "2"))
        plan = plan_serving((facts(),), found.intent, Evidence({"m": tuned}), cores).models[0]
        assert candidate_of(plan, found.space.backend) == wanted
        config = loadable(found, wanted).config
        assert config["instance_group"][0]["count"] == wanted.instances
        assert config["max_batch_size"] == wanted.max_batch_size
        assert ("dynamic_batching" in config) == wanted.batches
        threads = config["parameters"]["intra_op_thread_count"]["string_value"]
        assert int(threads) == wanted.threads

    def test_without_the_memory_arena_the_key_says_so_and_why(self):
        found = subject()
        wanted = found.space.without_arena(Candidate(2, 1, 8, 0))
        numbers = {"throughput_per_s": 840.0}
        tuned = replace(found.evidence, tuned=wanted.tuned("throughput", numbers, 2))
        cores = Planned(2, Reason(Source.TARGET, "2"))
        plan = plan_serving((facts(),), found.intent, Evidence({"m": tuned}), cores).models[0]
        assert candidate_of(plan, found.space.backend) == wanted
        off = dict(plan.parameters)["enable_mem_arena"]
        assert (off.value, off.reason.source) == ("0", Source.MEASURED)
        assert "without the memory arena" in off.reason.sentence
        assert "840 requests/s" in off.reason.sentence
        assert "enable_mem_arena" in loadable(found, wanted).config["parameters"]
        assert "enable_mem_arena" not in loadable(found, found.incumbent).config["parameters"]

    def test_no_warm_up_is_larger_than_what_an_overlay_lets_through(self):
        found = subject(own=ModelIntent(overlay={"max_batch_size": 4}))
        config = loadable(found, Candidate(1, 1, 16, 0)).config
        assert config["max_batch_size"] == 4
        sizes = [sample["batch_size"] for sample in config["model_warmup"]]
        assert sizes == [1, 2, 4]

    def test_thread_variables_start_no_server_anew_where_a_parameter_holds(self):
        found = subject()
        variables = {loadable(found, c).environment for c in found.space.candidates()}
        assert len(variables) == 1


class TestPlanner:
    def test_more_cores_than_were_tuned_for_are_told_of(self):
        found = subject()
        tuned = ModelEvidence(
            found.evidence.files,
            found.evidence.trial,
            Candidate(2, 1, 8, 0).tuned("throughput", {}, 2),
        )
        cores = Planned(4, Reason(Source.TARGET, "4"))
        plan = plan_serving((facts(),), found.intent, Evidence({"m": tuned}), cores)
        assert [item.code for item in plan.models[0].findings] == ["TG317"]
        assert plan.models[0].instances.value == 2


@pytest.mark.parametrize(
    ("wanted", "mine", "server", "generator"),
    [
        (1, (0, 1), (0,), (1,)),
        (2, (0, 1), (0, 1), (0, 1)),
        (2, (3, 1, 7, 5), (1, 3), (5, 7)),
        (8, (0, 1), (0, 1), (0, 1)),
    ],
)
def test_server_and_generator_are_kept_apart_where_there_are_cores(wanted, mine, server, generator):
    cores = divide_cores(wanted, mine)
    assert (cores.server, cores.generator) == (server, generator)
    assert cores.shared == (server == generator)


@pytest.mark.parametrize(("most", "kept"), [(8, [0, 1, 8]), (7, [0, 1]), (0, [0, 1])])
def test_a_warm_up_that_the_batch_size_refuses_is_left_out(most, kept):
    message = new_model_config()
    message.max_batch_size = most
    for size in (0, 1, 8, 9):
        message.model_warmup.add(name=str(size), batch_size=size)
    _fitting_warmup(message)
    assert [item.batch_size for item in message.model_warmup] == kept


class TestOnAGpu:
    """The same race with a card: instances, batch and delay; no threads."""

    @staticmethod
    def subject(own=None, model=None, card="T4"):
        model = model or replace(facts(), weight_bytes=2**30)
        gpu = TargetGpu(card) if card else None
        intent = Intent(Target(cpus=8, gpus=1, gpu=gpu), models={"m": own or ModelIntent()})
        evidence = ModelEvidence((("1/model.onnx", "0" * 64),), trial=trial())
        ((gathered, _),) = model_inputs((model,), intent, Evidence({"m": evidence}), 8)
        return make_subject(gathered, intent, evidence, 8, TuneOptions(goal="throughput"))

    def test_instances_and_batches_are_its_axes(self):
        found = self.subject()
        assert (found.gpu, found.prior) == ("T4", None)
        assert set(found.space.splits()) == {(1, 1), (2, 1), (3, 1), (4, 1)}
        assert max(one.max_batch_size for one in found.space.candidates()) == 128
        assert not found.space.arena_test
        assert found.baseline.instances == found.baseline.threads == 1

    def test_the_cards_memory_limits_the_instances(self):
        large = replace(facts(), weight_bytes=5 * 2**30)
        assert {count for count, _ in self.subject(model=large).space.splits()} == {1, 2}
        assert self.subject(card="").room == 4

    def test_a_candidate_is_rendered_for_the_card(self):
        found = self.subject()
        config = loadable(found, Candidate(2, 1, 16, 500)).config
        (group,) = config["instance_group"]
        assert (group["kind"], group["count"], config["max_batch_size"]) == ("KIND_GPU", 2, 16)
        assert config["dynamic_batching"]["max_queue_delay_microseconds"] == "500"
