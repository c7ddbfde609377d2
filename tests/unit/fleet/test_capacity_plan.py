"""The plan file: read back as it was written, and refused when it is something else."""

import json
from dataclasses import replace
from functools import cache
from pathlib import PurePath

import pytest

from support.capacity import capacity_input
from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.capacity_plan import (
    CapacityPlan,
    PlanFile,
    parse_plan,
    plan_path,
    plan_text,
)
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.model.business import Business, Pattern, PatternKind
from tritongen.model.intent import ModelIntent


@cache
def planned() -> CapacityPlan:
    business = Business(pattern=Pattern(PatternKind.WEEKDAY_WEEKEND), min_replicas=2)
    model = ModelIntent(rate=900.0, peak_rate=2500.0, latency_ms=40.0)
    return plan_capacity(capacity_input({"ocr": (4.0, model)}, business), refined=2)


def plan_file() -> PlanFile:
    return PlanFile("tritongen 1", planned(), 0, "Europe/Berlin", models={"ocr": "0" * 64})


def test_what_is_written_is_read_back_and_written_the_same_again() -> None:
    text = plan_text(plan_file())
    again = parse_plan(text, "plan")
    assert plan_text(again) == text
    service, before = again.option.services[0], planned().options[0].services[0]
    assert service.hourly == before.hourly
    assert service.placement == before.placement
    assert again.option.machine == planned().options[0].machine
    assert again.time_zone == "Europe/Berlin"
    assert again.models == {"ocr": "0" * 64}


def test_options_without_a_price_stay_out_and_the_choice_follows() -> None:
    plan = planned()
    priceless = replace(plan.options[-1], usd_per_month=float("inf"), feasible=False)
    file = replace(plan_file(), plan=replace(plan, options=(priceless, *plan.options)), chosen=1)
    again = parse_plan(plan_text(file), "plan")
    assert again.chosen == 0
    assert again.option.machine == plan.options[0].machine


def test_lists_of_numbers_stand_on_one_line() -> None:
    text = plan_text(plan_file())
    hourly = next(line for line in text.splitlines() if '"hourly": [' in line)
    assert hourly.count(",") >= 167


def test_the_plan_lies_beside_its_repository() -> None:
    assert plan_path(PurePath("deploy/model_repository")) == "deploy/model_repository.plan.json"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "schema version"),
        ('{"schema_version": 9}', "schema version"),
        ('{"schema_version": 1, "tool": "x", "plan": 3, "chosen": 0}', "plan"),
    ],
)
def test_what_is_no_plan_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        parse_plan(text, "x.plan.json")
    assert caught.value.code == "TG354"


def test_a_choice_beyond_the_options_is_refused() -> None:
    document = json.loads(plan_text(plan_file()))
    document["chosen"] = 99
    with pytest.raises(InvalidInputError, match="option 99"):
        parse_plan(json.dumps(document), "x.plan.json")
