"""Sizes, CPUs and durations as Docker and Kubernetes write them."""

import re

__all__ = ["cpus_of", "default_of", "quantity", "seconds_of"]

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti)?")
_FACTORS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+:-([^}]*)\}")


def quantity(value: object) -> float | None:
    """A Kubernetes quantity as a number, None when it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    match = _QUANTITY.fullmatch(str(value))
    return float(match[1]) * _FACTORS[match[2] or ""] if match else None


def default_of(value: object) -> str:
    """A text with the defaults of its Compose variables in their places."""
    return _VARIABLE.sub(lambda match: match[1], str(value))


def cpus_of(value: object) -> float | None:
    """CPUs of Compose, None when they are none."""
    try:
        return float(default_of(value))
    except ValueError:
        return None


def seconds_of(value: object) -> float | None:
    """A duration of Compose in seconds, None when it is none."""
    match = _DURATION.fullmatch(str(value))
    if match is None or not str(value):
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds
