"""Money: an hour's price to a month's bill, to a million requests, and the bound below it."""

from tritongen.fleet.cost.money import (
    HOURS_A_MONTH,
    lower_bound_usd_per_hour,
    usd_per_million,
    usd_per_month,
)

__all__ = ["HOURS_A_MONTH", "lower_bound_usd_per_hour", "usd_per_million", "usd_per_month"]
