"""What surrounds a plan of machines: stored files, prices that age, traffic that is shared."""

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest

from support.capacity import machine
from tritongen.errors import InvalidInputError
from tritongen.fleet import plan_fleet
from tritongen.fleet.plan_fleet import (
    PlanOptions,
    known_intent,
    plan_time_zone,
)
from tritongen.fleet.stored_plan import changed_models, read_plan, stale_plan
from tritongen.model.business import Business, Cloud, Pattern
from tritongen.model.evidence import Cost, Evidence, ModelEvidence, Trial
from tritongen.model.facts import ModelFormat
from tritongen.model.intent import Intent, ModelIntent
from tritongen.model.lock import Lock, LockedModel, LockedTarget

TODAY = date(2026, 7, 1)


def priced(day: str) -> object:
    return SimpleNamespace(machine=replace(machine("c6i.large"), price_date=day))


@pytest.mark.parametrize(
    ("age", "told"), [(0, []), (plan_fleet._OLD_DAYS, []), (plan_fleet._OLD_DAYS + 1, ["warning"])]
)
def test_a_price_is_old_after_its_days(age, told):
    day = date.fromordinal(TODAY.toordinal() - age).isoformat()
    found = plan_fleet._old_price(priced(day), TODAY)
    assert [item.severity for item in found] == told
    assert all(f"{age} days ago" in item.message for item in found)
    (none,) = plan_fleet._old_price(priced(""), TODAY)
    assert none.severity == "info"


def locked(**digests: str) -> Lock:
    models = {
        name: LockedModel(
            name, ModelFormat.ONNX, "onnxruntime", 1, 1,
            ModelEvidence((("1/model.onnx", sha),) if sha else ()),
        )
        for name, sha in digests.items()
    }  # fmt: skip
    return Lock("tool", LockedTarget("26.07", 1), models=models)


def test_a_plan_holds_for_the_files_that_it_was_made_for():
    file = SimpleNamespace(models={"b": "1", "a": "1", "gone": "1", "empty": "1"})
    lock = locked(a="2", b="1", empty="")
    assert changed_models(file, lock) == ["a"]
    (told,) = stale_plan(file, lock)
    assert (told.code, told.message) == ("TG355", "a changed since the plan was made")
    assert stale_plan(file, locked(a="1", b="1")) == ()
    assert stale_plan(file, None) == ()


def test_a_plan_that_is_named_must_be_there(tmp_path):
    assert read_plan(tmp_path / "repository") is None
    with pytest.raises(InvalidInputError, match="does not exist"):
        read_plan(tmp_path / "repository", tmp_path / "plan.json")
    (tmp_path / "repository.plan.json").write_bytes(b"\xff")
    with pytest.raises(InvalidInputError, match="cannot be read: not UTF-8 text"):
        read_plan(tmp_path / "repository")


def test_without_a_folder_nothing_is_wanted(tmp_path):
    assert known_intent(None) == Intent()
    (tmp_path / "tritongen.yaml").write_text("target: {cpus: 0}")
    with pytest.raises(InvalidInputError):
        known_intent(tmp_path)
    assert plan_time_zone(Intent()) == "UTC"
    zoned = Intent(business=Business(pattern=Pattern(time_zone="Europe/Berlin")))
    assert plan_time_zone(zoned) == "Europe/Berlin"


@pytest.mark.parametrize(
    ("profiles", "names", "rate", "refused"),
    [
        ({"": 1}, ("a",), None, False),
        ({"": 1}, ("a", "b"), None, True),
        ({"": 1}, ("a", "b"), 5.0, False),
        ({"a": 1}, ("a", "b"), None, False),
    ],
)
def test_one_recording_is_not_the_rate_of_several_models(profiles, names, rate, refused):
    intent = Intent(models={"a": ModelIntent(rate=rate)})
    history = SimpleNamespace(profiles=profiles)
    if refused:
        with pytest.raises(InvalidInputError, match=r"day[.]csv does not tell models apart"):
            plan_fleet._refuse_shared(history, "a", names, intent, "day.csv")
    else:
        plan_fleet._refuse_shared(history, "a", names, intent, "day.csv")


OWN = "provider,name,vcpus,memory_gib,usd_per_hour,region\nown,small,2,4,0.1,here\n"


NO_CLOUD = Cloud()


def project_of(tmp_path, cloud: Cloud = NO_CLOUD):
    return SimpleNamespace(root=tmp_path, intent=Intent(business=Business(cloud=cloud)))


def names_of(tmp_path, cloud: Cloud = NO_CLOUD, **options: object) -> set[str]:
    wanted = PlanOptions(tmp_path, **options)
    intent, machines = plan_fleet._machines(project_of(tmp_path, cloud), wanted)
    places = {one.provider for one in machines}
    return places if len(places) < 2 else {intent.business.cloud.region, "several"}


def test_options_come_before_what_tritongen_yaml_says(tmp_path):
    (tmp_path / "own.csv").write_text(OWN)
    assert names_of(tmp_path, Cloud(provider="aws")) == {"aws"}
    assert names_of(tmp_path, Cloud(provider="aws"), provider="Azure") == {"azure"}
    own = {"catalogue": tmp_path / "own.csv"}
    assert names_of(tmp_path, **own) == {"own"}
    with pytest.raises(InvalidInputError):
        names_of(tmp_path, Cloud(region="there"), **own)
    assert names_of(tmp_path, Cloud(region="there"), provider="own", **own) == {"own"}
    assert names_of(tmp_path, Cloud(region="there"), region="here", **own) == {"own"}
    with pytest.raises(InvalidInputError):
        names_of(tmp_path, machines=("huge",), **own)
    prices = "name,usd_per_hour\nsmall,0.5\n"
    (tmp_path / "prices.csv").write_text(prices)
    for cloud, options in (
        (Cloud(prices="prices.csv"), {}),
        (Cloud(), {"price_list": tmp_path / "prices.csv"}),
    ):
        wanted = PlanOptions(tmp_path, **own, **options)
        _, (found,) = plan_fleet._machines(project_of(tmp_path, cloud), wanted)
        assert found.usd_per_hour == 0.5


def test_a_file_is_bounded_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_fleet, "_MAX_BYTES", 4)
    (tmp_path / "file").write_text("\ufeffabc", encoding="utf-8-sig")
    with pytest.raises(InvalidInputError, match="larger than 200 MiB"):
        plan_fleet._text(tmp_path / "file", "TG330")
    (tmp_path / "file").write_text("abcd")
    assert plan_fleet._text(tmp_path / "file", "TG330") == "abcd"
    with pytest.raises(InvalidInputError, match="cannot be read") as caught:
        plan_fleet._text(tmp_path / "absent", "TG323")
    assert caught.value.code == "TG323"


def test_only_what_ran_has_a_time():
    ran = Trial("", ok=True, costs=(Cost(1, 1, 3.0),))
    evidence = {
        "ran": ModelEvidence((), ran), "failed": ModelEvidence((), replace(ran, ok=False)),
        "untried": ModelEvidence(()), "no cost": ModelEvidence((), replace(ran, costs=())),
    }  # fmt: skip
    assert plan_fleet._costs(Evidence(evidence)) == {"ran": 3.0}
