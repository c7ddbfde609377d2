"""Texts with units."""

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


def size_bytes(text: str) -> int | None:
    """Bytes of a text such as ``512MB`` or ``8GiB``; None for anything else or nothing."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    factor = _BYTES.get(match[2].upper()) if match else None
    if match is None or factor is None:
        return None
    size = int(float(match[1]) * factor)
    return size if size > 0 else None


def duration_ms(text: str) -> float | None:
    """Milliseconds of a text such as ``20ms``, ``1.5s`` or ``250us``; None for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s)\s*", text)
    if match is None:
        return None
    value = float(match[1]) * _MILLISECONDS[match[2]]
    return value if value > 0 else None
