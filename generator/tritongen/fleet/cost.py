"""Money: an hour's price to a month's bill, to a million requests, and the bound below it."""

import math
from collections.abc import Sequence

HOURS_A_MONTH = 730.0


def usd_per_month(usd_per_hour: float, mean_replicas: float) -> float:
    """The bill of a month of 730 hours for so many replicas on average."""
    return usd_per_hour * mean_replicas * HOURS_A_MONTH


def usd_per_million(usd_per_month: float, mean_rate_per_s: float) -> float:
    """Cost of a million requests; infinite without requests."""
    requests = mean_rate_per_s * 3600.0 * HOURS_A_MONTH
    return usd_per_month / requests * 1e6 if requests > 0.0 else math.inf


def lower_bound_usd_per_hour(
    mean_rates: Sequence[float], best_rate_per_usd: Sequence[float]
) -> float:
    """What no deployment that meets the goals can undercut, in USD an hour.

    Machines that are always as busy as the goal allows, and vanish when there is nothing to do.

    Args:
        mean_rates: requests per second of each model.
        best_rate_per_usd: of each model, the greatest rate at the goal that one USD an hour
            buys, over all machine types.
    """
    return math.fsum(
        rate / best if best > 0.0 else math.inf
        for rate, best in zip(mean_rates, best_rate_per_usd, strict=True)
        if rate > 0.0
    )
