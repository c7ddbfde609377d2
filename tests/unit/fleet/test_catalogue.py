"""Machine types: speeds against each other, choice, limits of platforms."""

import pytest

from support.capacity import catalogue, machine
from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.processors import processor_of, relative_speed
from tritongen.fleet.catalogue import (
    azureml_managed,
    chosen,
    parse_catalogue,
    platform_refusal,
    with_prices,
)
from tritongen.model.business import Cloud, Platform

ICE, GENOA = "Intel Xeon Platinum 8370C", "AMD EPYC 9R14"


def test_the_shipped_list_is_whole() -> None:
    machines = catalogue().machines
    assert len(machines) == 65
    assert catalogue().providers == ("aws", "azure", "gcp")
    assert all(one.price_date.startswith("2026-") and one.price_source for one in machines)
    assert all(0 < one.cores <= one.vcpus for one in machines)
    assert {one.cpu for one in machines if not processor_of(one.cpu) and not one.gpus} == set()


def test_the_same_processor_is_as_fast_but_for_its_neighbours() -> None:
    speed = relative_speed(ICE, ICE)
    assert speed.factor == 1.0
    assert speed.low < 1.0 < speed.high < 1.1


def test_an_unknown_processor_may_be_anything() -> None:
    speed = relative_speed("", ICE)
    assert (speed.factor, speed.high) == (1.0, 1.35)
    assert "not in the table" in speed.reason
    assert relative_speed("", GENOA).factor == relative_speed(ICE, GENOA).factor
    assert relative_speed(ICE, "some processor").factor == 1.0


def test_there_and_back_is_where_it_began() -> None:
    there, back = relative_speed(ICE, GENOA), relative_speed(GENOA, ICE)
    assert there.factor * back.factor == pytest.approx(1.0)
    assert there.low < there.factor < there.high


def test_the_slowest_of_several_processors_is_planned_with() -> None:
    several = machine("Standard_F2s_v2").cpu
    assert len(processor_of(several)) == 4
    speed = relative_speed(ICE, several)
    assert speed.factor >= 1.0
    assert "slowest of 4" in speed.reason


def test_integers_without_vnni_are_slow() -> None:
    skylake = "Intel Xeon Platinum 8168 (Skylake)"
    assert (
        relative_speed(ICE, skylake, int8=True).factor > 1.8 * relative_speed(ICE, skylake).factor
    )
    assert "VNNI" in relative_speed(ICE, skylake, int8=True).reason


def test_prices_of_one_region_only() -> None:
    text = "name,usd_per_hour,region\nc7a.xlarge,0.5,us-east-1\nc7a.2xlarge,9,elsewhere\n"
    with pytest.raises(InvalidInputError, match="faulty"):
        with_prices(catalogue(), text, "ours.csv")
    found = with_prices(catalogue(), text.splitlines()[0] + "\nc7a.xlarge,0.5,us-east-1\n", "x")
    assert next(one for one in found.machines if one.name == "c7a.xlarge").usd_per_hour == 0.5
    assert len(found.machines) == 65


@pytest.mark.parametrize(
    ("cloud", "code", "says"),
    [
        (Cloud(provider="gpc"), "TG331", "gcp"),
        (Cloud(provider="aws", region="eastus"), "TG331", "us-east-1"),
        (Cloud(machines=("c7a.xlarg",)), "TG332", "c7a.xlarge"),
        (Cloud(provider="aws", machines=("Standard_F2s_v2",)), "TG333", "Leave one"),
    ],
)
def test_a_choice_that_nothing_fits_names_what_there_is(cloud: Cloud, code: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        chosen(catalogue(), cloud)
    assert caught.value.code == code
    assert says in caught.value.fix


def test_every_faulty_line_is_named() -> None:
    text = (
        "provider,name,vcpus,memory_gib,usd_per_hour,region\n"
        "us,a,0,8,1,here\nus,b,4,8,,here\nus,c,4,8,1,here\nus,c,4,8,1,here\n"
    )
    with pytest.raises(InvalidInputError) as caught:
        parse_catalogue(text, "ours.csv")
    told = " ".join(caught.value.details)
    assert "line 2" in told
    assert "line 3" in told
    assert "line 5" in told
    assert "line 4" not in told


def test_azure_ml_offers_some_families_and_retired_ones_never() -> None:
    assert azureml_managed(machine("Standard_F8s_v2"))
    assert not azureml_managed(machine("Standard_D8s_v5"))
    assert "retired" in platform_refusal(machine("Standard_NC6s_v3"), Platform.VM)
    assert platform_refusal(machine("c7a.xlarge"), Platform.AZUREML)
    assert platform_refusal(machine("c7a.xlarge"), Platform.KUBERNETES) == ""
