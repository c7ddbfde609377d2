"""Traffic: patterns, recorded histories, and the rates over time that a plan is made for."""

from tritongen.fleet.traffic.prometheus_answer import parse_prometheus
from tritongen.fleet.traffic.rate_profile import (
    DAY_S,
    HOUR_S,
    WEEK_S,
    Aligned,
    Profile,
    align,
    scaled_shape,
)
from tritongen.fleet.traffic.recorded_csv import parse_table
from tritongen.fleet.traffic.traffic_forecast import Expected, Wish, expected, zone_of
from tritongen.fleet.traffic.traffic_history import History, HistoryNote, Record, build_histories
from tritongen.model.traffic_pattern import Burst, Pattern, PatternKind, week_shape

__all__ = [
    "DAY_S",
    "HOUR_S",
    "WEEK_S",
    "Aligned",
    "Burst",
    "Expected",
    "History",
    "HistoryNote",
    "Pattern",
    "PatternKind",
    "Profile",
    "Record",
    "Wish",
    "align",
    "build_histories",
    "expected",
    "parse_prometheus",
    "parse_table",
    "scaled_shape",
    "week_shape",
    "zone_of",
]
