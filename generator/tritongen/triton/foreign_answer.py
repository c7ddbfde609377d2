"""Bounds for what a server answers that nobody vouches for: seconds, bytes, and JSON's values.

Every HTTP answer that is not itself a measurement is read through `AnswerBounds`, and every JSON
in it through `read_json`, whichever client asked. It needs little, as starting servers are asked
by what is loaded in a moment.
"""

import json
import math
import time

__all__ = ["MAX_BODY_BYTES", "AnswerBounds", "ForeignAnswerError", "read_json"]

# Chosen: the statistics of 1,000 models with 8 batch sizes each take 5 MB. As text of four bytes a
# character it takes 64 MiB.
MAX_BODY_BYTES = 16 * 2**20
# Chosen: Python's values take up to some 100 bytes each, so that all of them take 100 MB at most.
MAX_VALUES = 1_000_000


class ForeignAnswerError(OSError):
    """What answers does not answer as the server that was meant does; the message says how."""


class AnswerBounds:
    """The seconds and bytes that are left for one exchange, from the first to the last byte.

    Args:
        seconds: for the question and its whole answer.
        most_bytes: of the answer with all that frames it.
    """

    def __init__(self, seconds: float, most_bytes: int = MAX_BODY_BYTES) -> None:
        self._seconds, self._most_bytes = seconds, most_bytes
        self._deadline = time.monotonic() + seconds
        self._received = 0

    def seconds_left(self) -> float:
        """How long the next step may take, above 0.

        Raises:
            TimeoutError: no time is left.
        """
        left = self._deadline - time.monotonic()
        if left <= 0.0:
            raise TimeoutError(f"no whole answer within {self._seconds:g} s")
        return left

    def count(self, received: int) -> None:
        """Take bytes that came off what may come.

        Raises:
            ForeignAnswerError: they are too many.
        """
        self._received += received
        if self._received > self._most_bytes:
            raise ForeignAnswerError(f"its answer has more than {self._most_bytes:,} bytes")


def read_json(content: bytes | bytearray | memoryview) -> object:
    """The value of a JSON text in UTF-8, without numbers that are none.

    Raises:
        ForeignAnswerError: it is no JSON, or more than can be taken.
    """
    data = bytes(content)
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > MAX_VALUES:
        raise ForeignAnswerError(f"its answer is JSON of more than {MAX_VALUES:,} values")
    try:
        value: object = json.loads(
            data.decode("utf-8"), parse_constant=_no_number, parse_float=_finite
        )
    except RecursionError:
        raise ForeignAnswerError("its answer is JSON that is nested too deeply") from None
    except UnicodeDecodeError:
        raise ForeignAnswerError("its answer is not text in UTF-8") from None
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        raise ForeignAnswerError(f"its answer is not JSON ({place})") from None
    except ValueError:
        raise ForeignAnswerError("its answer has a number that is too large, or none") from None
    return value


def _no_number(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text[:20])
    return value
