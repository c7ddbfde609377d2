"""Values of the probe's options, as the command line has them."""

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING

from tritongen.errors import InvalidInputError

if TYPE_CHECKING:
    from tritongen.probe.probe_request import ModelChoice


def model_choice(text: str, version: str) -> "ModelChoice":
    """``NAME[/VERSION][=SHARE]``; `version` where it has none.

    Raises:
        InvalidInputError: TG905, it has another form.
    """
    from tritongen.probe.probe_request import ModelChoice

    match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:/([0-9]{1,9}))?(?:=([0-9]+(?:\.[0-9]+)?))?", text)
    share = float(match[3]) if match and match[3] else None
    if match is None or share == 0:
        raise InvalidInputError(
            "TG905",
            f"-m {text!r} is not a model",
            fix="Write it like -m ocr, -m ocr/2 or -m ocr=3.",
        )
    return ModelChoice(match[1], match[2] or version, share)


def pair(flag: str, text: str, separator: str) -> tuple[str, str]:
    """The two sides of a separator.

    Raises:
        InvalidInputError: TG905, one of them is missing.
    """
    name, found, rest = text.partition(separator)
    if not found or not name or not rest:
        raise InvalidInputError(
            "TG905", f"{flag} {text!r} is not NAME{separator}…", fix=f"Begin with NAME{separator}."
        )
    return name, rest


def shape(text: str) -> tuple[str, tuple[int, ...]]:
    """``NAME:1,3,224,224``.

    Raises:
        InvalidInputError: TG905, it has another form.
    """
    name, rest = pair("--shape", text, ":")
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", rest):
        raise InvalidInputError(
            "TG905", f"--shape {text!r} is not NAME:1,3,224,224", fix="Give every size."
        )
    return name, tuple(int(size) for size in rest.split(","))


def start_time(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time with its zone, or of themselves.

    Raises:
        InvalidInputError: TG905, it is neither; TG922, it has passed.
    """
    found = _seconds_of(text)
    if found is None:
        raise InvalidInputError(
            "TG905",
            f"--start-at {text!r} is no time with a zone",
            fix="Write it like 2030-01-31T12:00:00Z, 2030-01-31T13:00:00+01:00, or as the seconds "
            "since 1970 that `date +%s` prints.",
        )
    if (ago := time.time() - found) > 0.0:
        raise InvalidInputError("TG922", f"{text} was {ago:.0f} s ago", where="--start-at")
    return found


def _seconds_of(text: str) -> float | None:
    if re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
