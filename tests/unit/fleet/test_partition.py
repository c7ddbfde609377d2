"""Which models share a container: wishes, pipelines, names, small ones packed."""

from dataclasses import replace
from functools import cache

import pytest

from support.capacity import capacity_input
from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.capacity_plan import CapacityPlan, Option
from tritongen.fleet.capacity.partition import co_located, handed_down, slug, unique_slugs
from tritongen.fleet.capacity.sizing import CapacityInput, plan_capacity
from tritongen.model.business import Business, Cloud, Grouping, Platform, Scaling, ScalingMode
from tritongen.model.intent import Intent, ModelIntent, PipelineIntent, PipelineStep

FEW = ("c7a.xlarge", "c6i.xlarge")


def inputs(business: Business | None = None, **rates: float) -> CapacityInput:
    from support.capacity import machine

    models = {name: (4.0, ModelIntent(rate=rate, latency_ms=60.0)) for name, rate in rates.items()}
    return capacity_input(models, business, machines=[machine(name) for name in FEW])


def planned(business: Business | None = None, **rates: float) -> CapacityPlan:
    return plan_capacity(inputs(business, **rates))


def groups(option: Option) -> list[tuple[str, ...]]:
    return sorted(service.models for service in option.services)


def test_small_models_share_a_machine() -> None:
    best = planned(a=5.0, b=5.0, c=5.0).options[0]
    assert groups(best) == [("a", "b", "c")]
    assert best.most == 1


def test_separate_and_together_are_obeyed() -> None:
    apart = planned(Business(grouping=Grouping.SEPARATE), a=5.0, b=5.0).options[0]
    assert groups(apart) == [("a",), ("b",)]
    joined = planned(Business(grouping=Grouping.TOGETHER), a=5.0, b=2000.0).options[0]
    assert groups(joined) == [("a", "b")]


def test_named_services_and_the_rest_by_themselves() -> None:
    best = planned(Business(services={"web": ("a", "b")}), a=5.0, b=5.0, c=5.0).options[0]
    named = {one.name: one.models for one in best.services}
    assert named == {"web": ("a", "b"), "c-model": ("c",)}


def test_a_service_with_an_unknown_model_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        planned(Business(services={"web": ("a", "absent")}), a=5.0)
    assert caught.value.code == "TG353"
    assert caught.value.details == ("services.web: absent",)


def pipeline(*steps: str, rate: float | None = None, limit: float | None = None) -> PipelineIntent:
    return PipelineIntent(
        tuple(PipelineStep(step) for step in steps), ("y",), rate=rate, latency_ms=limit
    )


def test_the_steps_of_a_pipeline_stay_together() -> None:
    given = inputs(Business(grouping=Grouping.SEPARATE), a=5.0, b=5.0, c=5.0)
    given = replace(given, intent=replace(given.intent, pipelines={"read": pipeline("a", "c")}))
    best = plan_capacity(given).options[0]
    assert groups(best) == [("a", "c"), ("b",)]
    assert "read" in {service.name for service in best.services}


def test_services_must_not_divide_a_pipeline() -> None:
    given = inputs(Business(services={"web": ("a",)}), a=5.0, b=5.0)
    given = replace(given, intent=replace(given.intent, pipelines={"read": pipeline("a", "b")}))
    with pytest.raises(InvalidInputError, match="one service"):
        plan_capacity(given)


def test_pipelines_that_share_a_model_are_one() -> None:
    intent = Intent(
        pipelines={"p": pipeline("a", "b"), "q": pipeline("b", "c"), "r": pipeline("d")}
    )
    assert co_located(intent, ("a", "b", "c", "d", "e")) == {
        "e": ("e",),
        "p": ("a", "b", "c"),
        "d": ("d",),
    }


def test_a_pipeline_hands_down_rate_and_goal() -> None:
    pipelines = {"p": pipeline("a", "b", rate=10.0, limit=40.0), "q": pipeline("b", rate=5.0)}
    intent = Intent(pipelines=pipelines, models={"a": ModelIntent(rate=3.0)})
    handed = handed_down(intent, {"a": 6.0, "b": 2.0})
    assert handed.of("a").rate == 3.0  # its own word counts
    assert handed.of("b").rate == 15.0
    assert handed.of("a").latency_ms == 30.0
    assert handed.of("b").latency_ms == 10.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("OCR_v2", "ocr-v2"),
        ("2d", "m-2d"),
        ("x", "x-model"),
        ("Ünïcode", "n-code"),
        ("__", "model"),
    ],
)
def test_names_of_services(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_equal_names_are_told_apart() -> None:
    assert sorted(unique_slugs(["a_b", "a-b", "A.B"]).values()) == ["a-b", "a-b-2", "a-b-3"]


@cache
def scaled(mode: ScalingMode, least: int) -> Option:
    business = Business(
        min_replicas=least, scaling=Scaling(mode=mode), cloud=Cloud(platform=Platform.KUBERNETES)
    )
    return planned(business, a=4000.0).options[0]


def test_availability_and_static_are_obeyed() -> None:
    option = scaled(ScalingMode.STATIC, 3)
    assert option.least == option.most >= 3


def test_azure_ml_refuses_what_it_does_not_offer_and_more_than_it_holds() -> None:
    business = Business(cloud=Cloud(platform=Platform.AZUREML))
    plan = planned(business, a=5.0)
    assert not any(option.feasible for option in plan.options)
    assert {option.binding.value for option in plan.options} == {"platform"}


def test_arm_is_told() -> None:
    from support.capacity import machine

    given = capacity_input({"a": (4.0, ModelIntent(rate=5.0))}, machines=[machine("c7g.xlarge")])
    assert "TG335" in {item.code for item in plan_capacity(given).findings}
