"""Parameters of requests, as the command line has them."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from tritongen.errors import InvalidInputError

Parameter = str | int | bool | float
_FORM = re.compile(r"([A-Za-z0-9_.-]+):(.*):(int|float|bool|string)", re.DOTALL)
# Triton's own, which options of the probe set or which are not a user's.
_OWN = frozenset(
    ("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers")
) | {"binary_data_output"}
_SWITCHES = {"true": True, "false": False}
_READERS: Mapping[str, Callable[[str], Parameter]] = MappingProxyType(
    {"int": int, "float": float, "bool": lambda text: _SWITCHES[text.lower()], "string": str}
)


def request_parameters(given: Sequence[str]) -> dict[str, Parameter]:
    """``NAME:VALUE:TYPE`` each; a value may hold colons.

    Raises:
        InvalidInputError: TG905, one is none, or belongs to Triton.
    """
    found = dict(map(_parameter, given))
    for name in found:
        if name in _OWN or name.startswith("triton_"):
            what = f"the parameter {name} is Triton's own"
            raise InvalidInputError("TG905", what, fix="Leave it out; --sequence sets what it may.")
    return found


def _parameter(text: str) -> tuple[str, Parameter]:
    match = _FORM.fullmatch(text)
    try:
        if match is not None:
            return match[1], _READERS[match[3]](match[2])
    except (ValueError, KeyError):
        pass  # told below, as what has another form
    what = f"--request-parameter {text[:60]!r} is not NAME:VALUE:TYPE"
    fix = "Write it like max_tokens:256:int; types are int, float, bool and string."
    raise InvalidInputError("TG905", what, fix=fix)
