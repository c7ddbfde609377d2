"""What a plan may give a server beyond its own: the variables and flags that `build` writes.

A lock may be a stranger's. A variable such as LD_AUDIT runs code, a flag opens what is closed, and
nobody can name all that do; so whatever `build` would not have written is refused.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

__all__ = [
    "CACHE",
    "LIMITER",
    "LIMITER_RESOURCE",
    "TELEMETRY",
    "THREADS",
    "is_rate_limited",
    "refused_settings",
]

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
TELEMETRY = "ORT_DISABLE_TELEMETRY"
LIMITER, LIMITER_RESOURCE, CACHE = "rate-limit", "rate-limit-resource", "cache-config"

_NUMBER = "[1-9][0-9]{0,14}"
_VARIABLES: Mapping[str, str] = MappingProxyType(
    {**dict.fromkeys(THREADS, _NUMBER), TELEMETRY: "1"}
)
_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        LIMITER: "execution_count",
        LIMITER_RESOURCE: f"cpu:{_NUMBER}",
        CACHE: f"local,size={_NUMBER}",
    }
)


def is_rate_limited(flags: Iterable[tuple[str, object]]) -> bool:
    """Whether flags turn the rate limiter on, which holds executions to the cores.

    Args:
        flags: (flag without dashes, value).
    """
    return any(flag == LIMITER for flag, _ in flags)


def refused_settings(
    environment: Mapping[str, str], flags: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """Each variable and flag that `build` does not write, in words.

    Args:
        environment: variables by name.
        flags: (flag without dashes, value).
    """
    for name, value in environment.items():
        if not re.fullmatch(_VARIABLES.get(name, "(?!)"), value):
            yield f"variable {name}={value}"
    for flag, value in flags:
        if not re.fullmatch(_FLAGS.get(flag, "(?!)"), value):
            yield f"flag --{flag}={value}"
