"""No plan exceeds the cores; every plan renders to text that parses back."""

from dataclasses import replace

from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from support.plans import evidence, facts, intents, sequences, warmup_lines
from tritongen.config.protobuf import new_model_config, same
from tritongen.model.codec import decode, encode
from tritongen.model.cores import budget_of_limit
from tritongen.model.evidence import Evidence, ModelEvidence
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import Intent, Target
from tritongen.model.lock import refused_settings
from tritongen.model.serving_plan import Source
from tritongen.model.target_gpu import TargetGpu
from tritongen.planner import plan_serving
from tritongen.planner.model_settings import MAX_WARMUP_LINES
from tritongen.repository.render_repository import render_models


@st.composite
def servers(draw: st.DrawFn) -> tuple[list[ModelFacts], Intent, Evidence]:
    models = [draw(facts(f"m{number}")) for number in range(draw(st.integers(1, 5)))]
    target = Target(
        cpus=draw(st.integers(1, 64)),
        memory_bytes=draw(st.one_of(st.none(), st.integers(2**28, 2**36))),
        gpus=draw(st.sampled_from([0, 0, 0, 1, 2])),
        gpu=draw(st.sampled_from([None, TargetGpu("T4"), TargetGpu(memory_bytes=2**31)])),
    )
    wanted = {
        model.name: replace(draw(intents()), sequence=draw(sequences(model))) for model in models
    }
    intent = Intent(target, models=wanted)
    return models, intent, Evidence({model.name: draw(evidence(model)) for model in models})


@settings(max_examples=300, deadline=None)
@given(servers())
def test_threads_stay_within_the_cores_and_the_server_is_given_what_a_lock_may_hold(
    server: tuple[list[ModelFacts], Intent, Evidence],
) -> None:
    models, intent, seen = server
    cores = budget_of_limit(intent.target.cpus or 1)
    plan = plan_serving(models, intent, seen, cores)
    environment = {name: value.value for name, value in plan.server.environment}
    flags = [(name, value.value) for name, value in plan.server.flags]
    assert list(refused_settings(environment, flags)) == []
    on_cpu = [model for model in plan.models if model.kind.value.value == "KIND_CPU"]
    if any(model.threads.value > cores.value for model in on_cpu):
        # Nothing but the user's word gives an instance more threads than there are cores.
        told = {item.code for model in plan.models for item in model.findings}
        assert "TG305" in told
        return
    if plan.total_threads > cores.value:
        # More is asked for than the cores hold: the rate limiter holds executions to them, and the
        # plan says so.
        assert all(model.execution_slots for model in on_cpu)
        assert all(
            model.execution_slots.value <= cores.value for model in on_cpu if model.execution_slots
        )
        assert ("rate-limit-resource", f"cpu:{cores.value}") in flags
        assert "TG310" in {item.code for item in plan.findings}
    for model in on_cpu:
        keys = {key: int(value.value) for key, value in model.parameters}
        used = keys["intra_op_thread_count"]
        if "execution_mode" in keys:
            used += keys["inter_op_thread_count"] - 1
        assert used <= model.threads.value


@settings(max_examples=200, deadline=None)
@given(servers())
def test_text_parses_back_and_says_once_what_was_measured(
    server: tuple[list[ModelFacts], Intent, Evidence],
) -> None:
    """In one comment: another tuning that chooses the same changes no line but those of it."""
    models, intent, seen = server
    plan = plan_serving(models, intent, seen, budget_of_limit(intent.target.cpus or 1))
    for item in render_models(plan, tuple(models)):
        parsed = text_format.Parse(item.text, new_model_config())
        assert same(parsed, item.config.message)
        assert parsed.max_batch_size == item.plan.max_batch_size.value
        assert all(tensor.dims for tensor in (*parsed.input, *parsed.output))
        largest = max((sample.batch_size for sample in parsed.model_warmup), default=0)
        assert largest <= max(parsed.max_batch_size, 1)
        assert warmup_lines(item.text) <= MAX_WARMUP_LINES
        sequence = intent.of(item.plan.name).sequence
        assert parsed.HasField("sequence_batching") is (sequence is not None)
        if sequence is not None:
            assert not parsed.HasField("dynamic_batching")
            assert not parsed.model_warmup
            fed = {tensor.name for tensor in parsed.input}
            assert not fed & sequence.own_inputs
            assert not {tensor.name for tensor in parsed.output} & set(sequence.state.values())
            assert all(
                -1 not in state.initial_state[0].dims for state in parsed.sequence_batching.state
            )
        lines = (line.strip() for line in item.text.splitlines())
        comments = " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))
        for reason in (*item.config.reasons.values(), *item.config.remarks.values()):
            if reason.source is Source.MEASURED:
                assert comments.count(reason.sentence) <= 1


@settings(max_examples=100, deadline=None)
@given(servers())
def test_the_same_inputs_give_the_same_bytes(
    server: tuple[list[ModelFacts], Intent, Evidence],
) -> None:
    models, intent, seen = server
    cores = budget_of_limit(intent.target.cpus or 1)
    # Through the lock's encoding, and in another order.
    again = Evidence(
        {name: decode(ModelEvidence, encode(item)) for name, item in seen.models.items()}
    )
    first = render_models(plan_serving(models, intent, seen, cores), tuple(models))
    second = render_models(plan_serving(models[::-1], intent, again, cores), tuple(models))
    assert [item.text for item in first] == [item.text for item in second]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_facts_and_evidence_survive_the_lock(data: st.DataObject) -> None:
    model = data.draw(facts())
    seen = data.draw(evidence(model))
    assert decode(ModelFacts, encode(model)) == model
    assert decode(ModelEvidence, encode(seen)) == seen
