"""What people write as text: sizes, durations, hours of a day, time zones.

Each function returns None for a text that is none of its kind.
"""

import math
import re

_BYTES = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_LONG_MILLISECONDS = {"m": 60e3, "h": 3600e3}


def size_bytes(text: str) -> int | None:
    """Bytes of a text such as ``512MB`` or ``8GiB``; None for nothing, too."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    factor = _BYTES.get(match[2].upper()) if match else None
    if match is None or factor is None:
        return None
    size = int(float(match[1]) * factor)
    return size if size > 0 else None


def duration_ms(text: str) -> float | None:
    """Milliseconds of a text such as ``20ms``, ``1.5s`` or ``250us``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s)\s*", text)
    if match is None:
        return None
    value = float(match[1]) * _MILLISECONDS[match[2]]
    return value if value > 0 else None


def long_duration_ms(text: str) -> float | None:
    """Milliseconds of a text such as ``90s``, ``5m`` or ``2h``."""
    text = text.strip()
    factor = _LONG_MILLISECONDS.get(text[-1:])
    if factor is None:
        return duration_ms(text)
    try:
        value = float(text[:-1])
    except ValueError:
        return None
    return value * factor if 0.0 < value < math.inf else None


def duration_s(text: str) -> float | None:
    """Seconds of a text such as ``90s``, ``5m`` or ``2h``."""
    value = long_duration_ms(text)
    return None if value is None else value / 1e3


def duration_minutes(text: str) -> float | None:
    """Minutes of a text such as ``90s``, ``5m`` or ``2h``."""
    value = long_duration_ms(text)
    return None if value is None else value / 60e3


def hours_of_day(text: str) -> tuple[float, float] | None:
    """``8-18`` or ``08:30-17``: begin and end within a day."""
    ends = []
    for part in text.split("-"):
        hour, _, minute = part.strip().partition(":")
        if not hour.isdigit() or (minute and not minute.isdigit()):
            return None
        ends.append(int(hour) + int(minute or 0) / 60.0)
    if len(ends) != 2 or not 0.0 <= ends[0] < ends[1] <= 24.0:
        return None
    return ends[0], ends[1]


def iana_time_zone(text: str) -> str | None:
    """The text, if it is an IANA name such as ``Europe/Berlin``."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return text
