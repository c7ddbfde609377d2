"""Traffic over time for capacity tests: synthetic, and in the shapes of public traces.

Each is a function of nothing: the same numbers on every machine.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from tritongen.fleet.traffic.rate_profile import DAY_S, RateProfile
from tritongen.queueing import Stream

_HOUR_S = 3600.0


def _noise(seed: int) -> Iterator[float]:
    stream = Stream(seed)
    while True:
        yield stream.lognormal(0.03)


def _day(at_s: float, night: float, busy: float = 14.0) -> float:
    """A smooth day: `night` at its least, 1 at the busiest hour."""
    hour = (at_s % DAY_S) / _HOUR_S
    return night + (1.0 - night) * (0.5 + 0.5 * math.cos((hour - busy) * math.pi / 12.0)) ** 2


def _weekend(at_s: float) -> bool:
    return at_s % (7.0 * DAY_S) >= 5.0 * DAY_S


def _profile(
    step_s: float, days: float, mean: float, rate: Callable[[float], float]
) -> RateProfile:
    count = round(days * DAY_S / step_s)
    levels = [rate(index * step_s) for index in range(count)]
    scale = mean * count / math.fsum(levels)
    return RateProfile(step_s, tuple(level * scale for level in levels), measured=True)


@cache
def sine(mean: float) -> RateProfile:
    """Two weeks of smooth days, with a little noise."""
    noise = _noise(1)
    return _profile(300.0, 14.0, mean, lambda at: _day(at, 0.3) * next(noise))


@cache
def office(mean: float) -> RateProfile:
    """Two weeks of office hours with quiet weekends."""
    noise = _noise(2)
    return _profile(
        300.0, 14.0, mean, lambda at: _day(at, 0.1) * (0.3 if _weekend(at) else 1.0) * next(noise)
    )


@cache
def ramps(mean: float) -> RateProfile:
    """Two weeks of days that rise for eight hours and fall within one."""
    noise = _noise(3)

    def level(at_s: float) -> float:
        hour = (at_s % DAY_S) / _HOUR_S - 9.0
        up = hour / 8.0 if 0.0 <= hour < 8.0 else 0.0
        down = 9.0 - hour if 8.0 <= hour < 9.0 else 0.0
        return (0.2 + 0.8 * max(up, down)) * next(noise)

    return _profile(300.0, 14.0, mean, level)


@cache
def conversation(mean: float) -> RateProfile:
    """A day by the second, peak ÷ mean 2.9: the shape of a public chat service's trace."""
    noise, walk = Stream(4), [1.0]

    def level(at_s: float) -> float:
        if at_s % 60.0 == 0.0:
            walk.append(min(1.3, max(0.7, walk[-1] * noise.lognormal(0.01))))
        return _day(at_s, 0.4, 15.0) * walk[-1] * noise.lognormal(0.12)

    return _peaked(_profile(1.0, 1.0, mean, level), 2.9)


@cache
def balancer(mean: float) -> RateProfile:
    """Two weeks by five minutes, peak ÷ mean 10.6: the shape of a load balancer's request count."""
    noise = Stream(5)

    def level(at_s: float) -> float:
        week = 1.0 if _weekend(at_s) else 1.39
        return _day(at_s, 0.35, 16.0) * week * noise.lognormal(0.05)

    return _peaked(_profile(300.0, 14.0, mean, level), 10.6, every_s=7.0 * DAY_S)


@cache
def code(mean: float) -> RateProfile:
    """A day by the second, peak ÷ mean 26: bursts of a public code assistant's trace."""
    noise = Stream(6)

    def level(at_s: float) -> float:
        return _day(at_s, 0.2, 13.0) * noise.lognormal(0.35)

    return _peaked(_profile(1.0, 1.0, mean, level), 26.0)


def _peaked(profile: RateProfile, ratio: float, every_s: float = DAY_S) -> RateProfile:
    """With one step in so many seconds at a peak of `ratio` × the mean, the others scaled."""
    every = round(every_s / profile.step_s)
    rates = list(profile.rates)
    peaks = range(every // 2, len(rates), every)
    mean = statistics.fmean(profile.rates)
    for index in peaks:
        rates[index] = 0.0
    rest = (mean * len(rates) - ratio * mean * len(peaks)) / math.fsum(rates)
    rates = [rate * rest for rate in rates]
    for index in peaks:
        rates[index] = ratio * mean
    return RateProfile(profile.step_s, tuple(rates), profile.phase_s, measured=True)


TRACES: Mapping[str, Callable[[float], RateProfile]] = {
    "sine": sine,
    "office": office,
    "ramps": ramps,
    "conversation": conversation,
    "balancer": balancer,
    "code": code,
}
