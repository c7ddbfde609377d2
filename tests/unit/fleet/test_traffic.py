"""Traffic: patterns, recordings with holes, counters that begin anew, clocks that change."""

import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.demand import demand_of
from tritongen.fleet.traffic.rate_profile import (
    HOUR_S,
    RateProfile,
    forecast_traffic,
    scaled_shape,
    zone_of,
)
from tritongen.fleet.traffic.recordings import parse_prometheus, parse_table, rates_of_counter
from tritongen.model.business import Burst, Pattern, PatternKind, week_shape
from tritongen.model.intent import Intent, ModelIntent

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Pattern(PatternKind.WEEKDAY_WEEKEND)


def stated(pattern: Pattern, rate: float | None, peak: float | None) -> Intent:
    return Intent(models={"m": ModelIntent(rate=rate, peak_rate=peak, pattern=pattern)})


def at(shape: tuple[float, ...], day: int, hour: float) -> float:
    return shape[round((day * 24 + hour) * 12)]


def test_office_hours_nights_and_weekends() -> None:
    shape = week_shape(OFFICE)
    assert len(shape) == 2016
    assert at(shape, 1, 13.0) > 5 * at(shape, 1, 3.0)
    assert at(shape, 5, 13.0) == pytest.approx(0.4 * at(shape, 1, 13.0))


def test_bursts_and_black_friday() -> None:
    bursts = week_shape(Pattern(PatternKind.RAMP_BURST, burst=Burst(6.0, 10.0, 2)))
    assert max(bursts) > 4 * sorted(bursts)[len(bursts) // 2]
    friday = week_shape(Pattern(PatternKind.BLACK_FRIDAY, burst=Burst(factor=5.0)))
    assert at(friday, 4, 13.0) == pytest.approx(5.0 * at(friday, 3, 13.0))


def test_a_peak_below_the_average_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        scaled_shape(week_shape(OFFICE), 10.0, 5.0)
    assert caught.value.code == "TG322"


@pytest.mark.parametrize("rates", [(), (-1.0,), (float("nan"),), (float("inf"),)])
def test_rates_that_are_none(rates: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        RateProfile(60.0, rates)
    assert caught.value.code == "TG321"


def test_profiles_of_different_steps_are_brought_onto_the_finer_clock() -> None:
    pattern = RateProfile(300.0, (1.0,) * 2016)
    recording = RateProfile(60.0, tuple(range(10080)), measured=True)
    demand = demand_of({"a": pattern, "b": recording})
    assert demand.step_s == 60.0
    assert demand.steps == 10080
    assert set(demand.rates["a"]) == {1.0}


def test_a_table_of_counts_and_models() -> None:
    text = "time,model,requests\n" + "".join(f"{60 * n},ocr,{120 + n}\n" for n in range(5))
    history = parse_table(text, UTC, "x.csv")
    assert history.profiles["ocr"].rates[0] == 2.0
    wide = parse_table("time,a,b\n0,1,2\n60,3,4\n120,5,6\n", UTC, "x.csv", ("a", "b"))
    assert wide.profiles["b"].rates == (2.0, 4.0, 6.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the first line must be"),
        ("time,rate\n", "no records"),
        ("time,rate\n0,1\n60,-2\n120,3\n", "line 3"),
        ("time,rate\n0,1\n60,x\n120,3\n", "line 3"),
        ("time,rate\n60,1\n0,2\n120,3\n", "does not come after"),
        ("time,rate\n0,1\n60,1,9\n120,1\n", "cells"),
        ("time,rate\nyesterday,1\n", "not a time"),
        ("time,rate\n0,1\n60,2\n", "too few"),
        ("time,ghost\n0,1\n60,2\n120,3\n", "is no model"),
        ("time,rate\n0,1\n60,2\n95,3\n120,3\n180,4\n240,1\n", "does not lie on steps"),
    ],
)
def test_tables_that_cannot_be_read(text: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_table(text, UTC, "x.csv", ("ocr",))
    assert caught.value.code == "TG323"
    assert says in caught.value.what + " ".join(caught.value.details)


def test_a_short_hole_is_bridged_and_told() -> None:
    lines = [f"{60 * n},{n}" for n in range(30) if n not in {10, 11}]
    history = parse_table("time,rate\n" + "\n".join(lines), UTC, "x.csv")
    assert history.profiles[""].rates[10] == pytest.approx(10.0)
    assert history.notes[0].code == "TG325"


def test_the_hour_that_occurs_twice_is_taken_twice() -> None:
    """Berlin, 25 October 2026: 02:00 to 03:00 comes once in summer time and once more."""
    hours = ["00:00", "01:00", "02:00", "02:00", "03:00", "04:00"]
    text = "time,rate\n" + "".join(f"2026-10-25T{hour},5\n" for hour in hours)
    profile = parse_table(text, BERLIN, "x.csv").profiles[""]
    assert len(profile.rates) == 6
    assert profile.step_s == HOUR_S


def test_a_record_begins_at_its_local_time_of_the_week() -> None:
    moment = datetime(2026, 7, 7, 10, 0, tzinfo=UTC).timestamp()  # a Tuesday, noon in Berlin
    text = "time,rate\n" + "".join(f"{moment + 3600 * n},1\n" for n in range(4))
    assert parse_table(text, BERLIN, "x.csv").profiles[""].phase_s == (24 + 12) * HOUR_S
    assert parse_table(text, UTC, "x.csv").profiles[""].phase_s == (24 + 10) * HOUR_S


def test_a_counter_that_began_anew() -> None:
    assert rates_of_counter([(0, 100.0), (10, 200.0), (20, 50.0), (30, 150.0)], 10.0) == [
        (0.0, 10.0), (10.0, 5.0), (20.0, 10.0),
    ]  # fmt: skip


def prometheus(*series: dict[str, object], kind: str = "matrix") -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": series}})


def test_a_range_query_of_counters_of_two_replicas() -> None:
    values = [[60 * n, str(600 * n)] for n in range(5)]
    labels = {"__name__": "nv_inference_request_success", "model": "ocr"}
    text = prometheus(
        {"metric": labels | {"instance": "a"}, "values": values},
        {"metric": labels | {"instance": "b"}, "values": values},
    )
    assert parse_prometheus(text, UTC, "x.json").profiles["ocr"].rates == (20.0,) * 4


@pytest.mark.parametrize(
    "text",
    ["{", "[]", prometheus(kind="vector"), prometheus(), '{"status": "error", "error": "no"}'],
)
def test_answers_that_are_no_range_query(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_prometheus(text, UTC, "x.json")
    assert caught.value.code == "TG323"


def test_a_pattern_of_another_zone_is_turned_to_the_plan_s_clock() -> None:
    tokyo = Pattern(PatternKind.WEEKDAY_WEEKEND, time_zone="Asia/Tokyo")
    here = forecast_traffic("m", stated(OFFICE, 10.0, None), zone_of("UTC"), None).profile.rates
    there = forecast_traffic("m", stated(tokyo, 10.0, None), zone_of("UTC"), None)
    assert there.notes == ()
    assert at(there.profile.rates, 1, 4.0) == at(here, 1, 13.0)


def test_clocks_that_change_on_different_days_hold_both() -> None:
    york = Pattern(PatternKind.WEEKDAY_WEEKEND, time_zone="America/New_York")
    found = forecast_traffic("m", stated(york, 10.0, None), zone_of("UTC"), None)
    assert [note.code for note in found.notes] == ["TG327"]
    office = forecast_traffic("m", stated(OFFICE, 10.0, None), zone_of("UTC"), None).profile.rates
    assert sum(found.profile.rates) / len(found.profile.rates) > sum(office) / len(office)


def test_a_zone_that_does_not_exist() -> None:
    with pytest.raises(InvalidInputError) as caught:
        zone_of("Mars/Base")
    assert caught.value.code == "TG326"


def test_a_history_gives_its_rates_unless_others_are_stated() -> None:
    history = parse_table("time,rate\n0,1\n60,3\n120,2\n", UTC, "x.csv")
    past = Pattern(PatternKind.HISTORY, file="x.csv")
    assert forecast_traffic("m", stated(past, None, None), zone_of(""), history).profile.rates == (
        1,
        3,
        2,
    )
    given = forecast_traffic("m", stated(past, 20.0, None), zone_of(""), history).profile
    assert given.rates == (10.0, 30.0, 20.0)
    peak = forecast_traffic("m", stated(past, None, 6.0), zone_of(""), history).profile
    assert peak.rates == (2.0, 6.0, 4.0)


def test_a_peak_alone_scales_the_pattern_to_it() -> None:
    found = forecast_traffic("m", stated(OFFICE, None, 50.0), zone_of(""), None).profile
    assert found.peak == pytest.approx(50.0)
