"""Intervals for what was measured, honest about requests that are not independent.

Latencies of one run are correlated: a pause delays everyone in the queue. The spread between
consecutive batches of the run (batch means) tells by how much more an estimate varies than it
would for independent requests; order statistics are then taken for the smaller effective sample.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, fmean, stdev

# 10 to 30 batches are enough for batch means (Schmeiser, 1982); 95 % is the convention; the 5 of
# MSER-5.
BATCHES = 30
CONFIDENCE = 0.95
MSER_BATCH = 5
# Batches vary by chance too. Only a spread beyond this quantile of that chance is believed.
_BELIEVED = 0.75
# With fewer batches than this nothing can be said about their spread.
_MIN_BATCHES = 4
_MAX_AUTOCORRELATION = 0.9
# Joins batches from an autocorrelation of 0.4 on; few of 30 independent ones show it by chance.
_JOINING = 1.5
# Requests beyond the quantile that a batch must hold on average to have a quantile of its own.
_BEYOND = 20
# An autocorrelation below this is seldom more than chance among 30 batches.
_MIN_AUTOCORRELATION = 0.25
# Beyond this variance the binomial law is as good as normal with a correction for its skew.
_EXACT_UP_TO = 400.0
_REACH = 12.0
# Degrees of freedom up to which the expansion of Student's quantile is refined, and Newton's steps
# that do it. Chosen: beyond, 99.9 % is right to 2e-6; the expansion at 3 degrees is 4 % short.
_EXPANDED_FROM = 30
_STEPS = 4


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the range that holds the true value at the stated confidence.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    @property
    def relative_width(self) -> float:
        """Half the range divided by the estimate; infinite where the estimate is zero."""
        return (self.high - self.low) / 2.0 / abs(self.value) if self.value else math.inf

    def scaled(self, factor: float) -> "Interval":
        """The same in another unit."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def contains(self, value: float) -> bool:
        """Whether the value lies in the range."""
        return self.low <= value <= self.high


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal law."""
    return NormalDist().inv_cdf(probability)


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t: Cornish and Fisher's expansion, refined for few degrees."""
    if freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    if freedom == 2:
        return (2 * probability - 1) * math.sqrt(2 / (4 * probability * (1 - probability)))
    z = normal_quantile(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    value = z + math.fsum(term / freedom ** (power + 1) for power, term in enumerate(terms))
    if freedom > _EXPANDED_FROM:
        return value
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    for _ in range(_STEPS):
        log_density = scale - (freedom + 1) / 2 * math.log1p(value**2 / freedom)
        density = math.exp(log_density) / math.sqrt(math.pi * freedom)
        value -= (_student_probability(value, freedom) - probability) / density
    return value


def _student_probability(value: float, freedom: int) -> float:
    """Distribution function of Student's t: the finite sum for whole degrees of freedom.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan(value / math.sqrt(freedom))
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for index in range(1, (freedom - odd) // 2 + 1):
        total += term
        term *= math.cos(angle) ** 2 * (2 * index - 1 + odd) / (2 * index + odd)
    central = math.sin(angle) * total
    return 0.5 + (2 / math.pi * (angle + central) if odd else central) / 2


def chi_square_quantile(probability: float, freedom: int) -> float:
    """Quantile of the chi-square law, by Wilson and Hilferty."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + normal_quantile(probability) * math.sqrt(part)) ** 3


def sample_floor(fraction: float, confidence: float = CONFIDENCE) -> int:
    """The fewest independent samples for which a two-sided interval of a quantile is finite.

    368 for p99 and 3,688 for p99.9 at 95 %.
    """
    tail = max(fraction, 1.0 - fraction)
    return math.ceil(math.log((1.0 - confidence) / 2.0) / math.log(tail))


def group(values: Sequence[float], groups: int = BATCHES) -> list[float]:
    """Consecutive values summed into at most that many groups of nearly equal length."""
    size = len(values)
    count = min(groups, size)
    edges = [round(index * size / count) for index in range(count + 1)] if count else []
    return [math.fsum(values[a:b]) for a, b in pairwise(edges)]


def ratio_variance(counts: Sequence[float], sums: Sequence[float]) -> tuple[float, int]:
    """Variance of Σsums / Σcounts from batches, and its degrees of freedom.

    Batches hold unequal numbers of requests, so this is the ratio estimator, weighted by size.
    Infinite with 0 degrees for fewer than two batches that hold anything.
    """
    pairs = [(n, s) for n, s in zip(counts, sums, strict=True) if n > 0]
    total = math.fsum(n for n, _ in pairs)
    size = len(pairs)
    if size < 2:
        return math.inf, 0
    ratio = math.fsum(s for _, s in pairs) / total
    spread = math.fsum((s - ratio * n) ** 2 for n, s in pairs)
    return spread / total**2 * size / (size - 1), size - 1


def mean_interval(
    counts: Sequence[float],
    sums: Sequence[float],
    confidence: float = CONFIDENCE,
    *,
    autocorrelated: bool = False,
) -> Interval | None:
    """The mean Σsums / Σcounts with its interval by batch means; None without two batches.

    Nothing that is measured here can be negative, so neither is the interval. Where batches are
    `autocorrelated` it is widened as for an AR(1) process of their lag-1 autocorrelation.
    """
    grouped_counts, grouped_sums = group(counts), group(sums)
    variance, freedom = ratio_variance(grouped_counts, grouped_sums)
    if freedom < 1:
        return None
    mean = math.fsum(sums) / math.fsum(counts)
    reach = student_quantile(0.5 + confidence / 2.0, freedom) * math.sqrt(variance)
    if autocorrelated:
        rho = lag1_autocorrelation(grouped_counts, grouped_sums)
        reach *= math.sqrt((1.0 + rho) / (1.0 - rho))
    return Interval(mean, max(mean - reach, 0.0), mean + reach)


def lag1_autocorrelation(counts: Sequence[float], sums: Sequence[float]) -> float:
    """Correlation of the mean of a batch with that of the next one, corrected for its bias.

    Args:
        counts: requests in each consecutive batch.
        sums: of their durations.

    Returns:
        Between 0 and 0.9; 0 where the batches tell nothing.
    """
    size, total = len(counts), math.fsum(counts)
    if size < _MIN_BATCHES or total <= 0:
        return 0.0
    ratio = math.fsum(sums) / total
    off = [s - ratio * n for n, s in zip(counts, sums, strict=True)]
    spread = math.fsum(value * value for value in off)
    if not spread:
        return 0.0
    found = math.fsum(one * two for one, two in pairwise(off)) / spread
    return min(max(found + (1.0 + 3.0 * max(found, 0.0)) / size, 0.0), _MAX_AUTOCORRELATION)


def effective_size(
    fraction: float,
    counts: Sequence[float],
    below: Sequence[float],
    confidence: float = CONFIDENCE,
    sums: Sequence[float] | None = None,
) -> float:
    """How many independent requests would say as much about a quantile as these do.

    Requests beyond a high percentile are too rare to show for how long they are correlated. The
    means of the batches show it: as long as neighbouring batches are correlated, they are joined,
    and what is left of it widens the result as for a process of first order.

    Args:
        fraction: of the quantile, between 0 and 1.
        counts: requests in each consecutive batch.
        below: of those, the requests at or below the estimate.
        confidence: of the interval that it is for.
        sums: of the durations in each batch, None to take the batches as independent.

    Returns:
        At most the number of requests. The uncertainty of the batches' own spread (Student's t
        instead of the normal law) is included.
    """
    total = math.fsum(counts)
    grouped, grouped_below = group(counts), group(below)
    variance, freedom = ratio_variance(grouped, grouped_below)
    if freedom < 1 or not 0.0 < fraction < 1.0 or total <= 0:
        return total
    unit = total / (fraction * (1.0 - fraction))
    inflation = variance * unit
    rho = lag1_autocorrelation(grouped, group(sums)) if sums is not None else 0.0
    joined = math.ceil(_JOINING * rho / (1.0 - rho))
    if joined > 1:
        batches = max(_MIN_BATCHES, len(grouped) // joined)
        wider = ratio_variance(group(counts, batches), group(below, batches))
        # After a stall one batch may hold everything: then the narrower ones are all there is.
        variance, freedom = wider if wider[1] else (variance, freedom)
        inflation = max(1.0, variance * unit, inflation * (1.0 + rho) / (1.0 - rho))
    elif inflation <= max(1.0, chi_square_quantile(_BELIEVED, freedom) / freedom):
        return total
    level = 0.5 + confidence / 2.0
    inflation *= (student_quantile(level, freedom) / normal_quantile(level)) ** 2
    return min(total, max(1.0, total / inflation))


def tells_batch_quantiles(fraction: float, total: float) -> bool:
    """Whether so many requests give each of the batches a quantile of its own."""
    return total * min(fraction, 1.0 - fraction) >= _BEYOND * BATCHES


def batch_autocorrelation(quantiles: Sequence[float], means: Sequence[float]) -> float:
    """Lag-1 autocorrelation of the batches, by quantile or by mean; 0 to 0.9."""
    ones = [1.0] * len(quantiles)
    found = max(lag1_autocorrelation(ones, quantiles), lag1_autocorrelation(ones, means))
    return found if found > _MIN_AUTOCORRELATION else 0.0


def effective_batches(quantiles: Sequence[float], means: Sequence[float]) -> float:
    """How many independent batches would say as much as these, as of a first-order process."""
    rho = batch_autocorrelation(quantiles, means)
    return len(quantiles) * (1.0 - rho) / (1.0 + rho)


def batch_quantile_interval(
    value: float,
    quantiles: Sequence[float],
    means: Sequence[float],
    confidence: float = CONFIDENCE,
) -> Interval:
    """A quantile with its interval from those of consecutive batches (sectioning).

    On a logarithmic scale, as durations are skewed. The deviations are from the quantile of the
    whole, so that the bias of the batches widens the interval, too.

    Args:
        value: the quantile of all batches together, above zero.
        quantiles: of each batch, above zero.
        means: of the durations in each batch.
        confidence: two-sided.
    """
    size = len(quantiles)
    independent = effective_batches(quantiles, means)
    spread = math.fsum(math.log(one / value) ** 2 for one in quantiles) / (size - 1)
    freedom = max(round(independent) - 1, _MIN_BATCHES - 1)
    reach = student_quantile(0.5 + confidence / 2.0, freedom) * math.sqrt(spread / independent)
    return Interval(value, value * math.exp(-reach), value * math.exp(reach))


def quantile_ranks(
    fraction: float, size: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Ranks (from 1) of the order statistics that enclose a quantile.

    Args:
        fraction: of the quantile.
        size: effective number of samples; need not be whole.
        confidence: two-sided.

    Returns:
        Lower and upper rank within `size`, interpolated; beyond 1 or `size` where the sample is
        too small for a finite end.
    """
    tail = (1.0 - confidence) / 2.0
    variance = size * fraction * (1.0 - fraction)
    if variance > _EXACT_UP_TO:
        z = normal_quantile(1.0 - tail)
        skew = (1.0 - 2.0 * fraction) * (z * z - 1.0) / 6.0
        centre, reach = size * fraction + 0.5 + skew, z * math.sqrt(variance)
        return centre - reach, centre + reach
    return _exact_ranks(fraction, size, tail)


def _exact_ranks(fraction: float, size: float, tail: float) -> tuple[float, float]:
    """Ranks from the binomial law, interpolated so that each tail has the wanted probability."""
    first = max(
        0, math.floor(size * fraction - _REACH * math.sqrt(size * fraction * (1 - fraction)) - 1)
    )
    last = math.floor(size)
    log_odds = math.log(fraction / (1.0 - fraction))
    log_mass = (
        math.lgamma(size + 1)
        - math.lgamma(first + 1)
        - math.lgamma(size - first + 1)
        + first * math.log(fraction)
        + (size - first) * math.log1p(-fraction)
    )
    lower: float | None = None
    # What the whole counts leave of the probability lies between the last of them and the size.
    upper = size + 1.0
    below = 0.0
    for k in range(first, last + 1):
        mass = math.exp(log_mass)
        if lower is None and below + mass > tail:
            # P(count < rank) = tail, between rank k (below) and rank k + 1 (below + mass).
            lower = k + (tail - below) / mass
        if below + mass >= 1.0 - tail:
            # P(count < rank) = 1 - tail, between rank k (below) and rank k + 1 (below + mass).
            upper = k + (1.0 - tail - below) / mass
            break
        below += mass
        if size - k <= 0:
            break
        log_mass += math.log((size - k) / (k + 1)) + log_odds
    return (float(first) if lower is None else lower), upper


def warmup_end(counts: Sequence[float], sums: Sequence[float]) -> int:
    """How many leading batches to leave out, by MSER-5 (White, 1997; White and Spratt, 2000).

    The cut minimises the squared deviations of what is left, divided by its length squared: it
    stops where leaving out more costs more certainty than it removes bias. Neighbouring batches
    are joined until each holds five requests on average; no more than half is ever left out.

    Args:
        counts: requests in each consecutive batch.
        sums: their summed latency.

    Returns:
        An index into the batches; 0 where the data show no warm-up.
    """
    size = len(counts)
    total = math.fsum(counts)
    if size < 4 or total <= 0:
        return 0
    joined = max(1, math.ceil(MSER_BATCH * size / total))
    means: list[float] = []
    for begin in range(0, size - joined + 1, joined):
        count = math.fsum(counts[begin : begin + joined])
        # A batch without requests says nothing new: it repeats its predecessor.
        mean = math.fsum(sums[begin : begin + joined]) / count if count else None
        means.append(mean if mean is not None else (means[-1] if means else 0.0))
    return _mser_cut(means) * joined


def _mser_cut(means: Sequence[float]) -> int:
    """The cut among batch means, from the end backwards with running sums."""
    best, cut = math.inf, 0
    total = squares = 0.0
    size = len(means)
    for index in range(size - 1, -1, -1):
        total += means[index]
        squares += means[index] ** 2
        left = size - index
        if left < 2 or index > size // 2:
            continue
        score = (squares - total * total / left) / left**2
        if score <= best:
            best, cut = score, index
    return cut


def paired_ratio(ratios: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The mean ratio of interleaved pairs, by Student's t on logarithms; None below two pairs."""
    size = len(ratios)
    if size < 2 or min(ratios) <= 0.0:
        return None
    logs = [math.log(ratio) for ratio in ratios]
    reach = student_quantile(0.5 + confidence / 2.0, size - 1) * stdev(logs) / math.sqrt(size)
    return log_interval(fmean(logs), reach)


def log_interval(log_ratio: float, reach: float) -> Interval:
    """A ratio with its interval, from its logarithm and how far that reaches."""
    return Interval(math.exp(log_ratio), math.exp(log_ratio - reach), math.exp(log_ratio + reach))
