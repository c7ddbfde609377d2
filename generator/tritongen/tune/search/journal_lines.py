"""The journal: the search's memory as JSON lines, appended one record at a time.

The first line says what is being tuned; a journal of something else is refused. A last line that
was cut off by a kill is dropped, since its measurement will simply be taken again.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tritongen.errors import InvalidInputError
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.tune.search.measurement_records import History, Purpose, Reading, Record, Task
from tritongen.tune.search.search_space import Candidate

SCHEMA = "tritongen.tune.journal/1"


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """What a journal is about.

    Attributes:
        model: name of the model.
        goal: the goal's text.
        cores: that the model may use.
        seed: of the search.
        fingerprint: of everything else that the measurements depend on: the model's files, the
            server, the settings.
    """

    model: str
    goal: str
    cores: int
    seed: int
    fingerprint: str


def encode_header(header: JournalHeader) -> str:
    """The first line, with its line break."""
    return _line(
        {
            "schema": SCHEMA,
            "model": header.model,
            "goal": header.goal,
            "cores": header.cores,
            "seed": header.seed,
            "fingerprint": header.fingerprint,
        }
    )


def encode_record(record: Record) -> str:
    """One record's line, with its line break."""
    task, candidate = record.task, record.task.candidate
    value: dict[str, object] = {
        "candidate": {
            "instances": candidate.instances,
            "threads": candidate.threads,
            "max_batch_size": candidate.max_batch_size,
            "queue_delay_us": candidate.queue_delay_us,
            "inter_op": candidate.inter_op,
            "arena": candidate.arena,
        },
        "load": _encode_load(task.load),
        "purpose": task.purpose.value,
        "round": task.round,
        "seconds": task.seconds,
        "min_requests": task.min_requests,
        "max_seconds": _finite(task.max_seconds),
        "rows": task.rows,
        "started_s": record.started_s,
        "ended_s": record.ended_s,
        "error": record.error,
        "reading": _encode_reading(record.reading),
    }
    return _line(value)


def decode(text: str, expected: JournalHeader, where: str = "journal") -> History:
    """The records of a journal.

    Args:
        text: the whole journal; empty for none yet.
        expected: what is being tuned now.
        where: the journal's name, for messages.

    Raises:
        InvalidInputError: TG950 when it is a journal of something else, or is damaged anywhere
            but in its last line.
    """
    lines = text.splitlines(keepends=True)
    # A line counts once its line break is written.
    whole = [line for line in lines if line.endswith("\n")]
    if not whole:
        return ()
    if whole[0] != encode_header(expected):
        raise _unusable("it is of another model, goal, machine or version", where, 1)
    records = []
    for number, line in enumerate(whole[1:], start=2):
        try:
            records.append(_decode_record(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError, InvalidInputError) as error:
            raise _unusable(f"not a record ({error})", where, number) from error
    return tuple(records)


def encode(header: JournalHeader, history: Iterable[Record]) -> str:
    """A whole journal."""
    return encode_header(header) + "".join(encode_record(record) for record in history)


def _line(value: Mapping[str, object]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"), sort_keys=True) + "\n"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _encode_load(load: ClosedLoop | OpenLoop) -> dict[str, float]:
    if isinstance(load, ClosedLoop):
        return {"concurrency": load.concurrency, "think_s": load.think_s}
    return {"rate_per_s": load.rate_per_s, "cv": load.cv}


def _encode_reading(reading: Reading | None) -> dict[str, object] | None:
    if reading is None:
        return None
    return {
        "throughput_per_s": _finite(reading.throughput_per_s) or 0.0,
        "latencies_s": [[percentile, _finite(value)] for percentile, value in reading.latencies_s],
        "requests": reading.requests,
        "failures": reading.failures,
        "mean_batch": _finite(reading.mean_batch),
        "execution_s": _finite(reading.execution_s),
        "saturated": reading.saturated,
        "generator_cpu_s": _finite(reading.generator_cpu_s) or 0.0,
    }


def _decode_record(value: Mapping[str, object]) -> Record:
    task = Task(
        candidate=_decode_candidate(_mapping(value["candidate"])),
        load=_decode_load(_mapping(value["load"])),
        purpose=Purpose(str(value["purpose"])),
        round=int(_number(value["round"])),
        seconds=_number(value["seconds"]),
        min_requests=int(_number(value["min_requests"])),
        max_seconds=_number(value["max_seconds"], math.inf),
        rows=int(_number(value["rows"])),
    )
    reading = value["reading"]
    return Record(
        task=task,
        reading=None if reading is None else _decode_reading(_mapping(reading)),
        started_s=_number(value["started_s"]),
        ended_s=_number(value["ended_s"]),
        error=str(value["error"]),
    )


def _decode_candidate(value: Mapping[str, object]) -> Candidate:
    delay = value["queue_delay_us"]
    return Candidate(
        instances=int(_number(value["instances"])),
        threads=int(_number(value["threads"])),
        max_batch_size=int(_number(value["max_batch_size"])),
        queue_delay_us=None if delay is None else int(_number(delay)),
        inter_op=int(_number(value["inter_op"])),
        arena=bool(value["arena"]),
    )


def _decode_load(value: Mapping[str, object]) -> ClosedLoop | OpenLoop:
    if "concurrency" in value:
        return ClosedLoop(int(_number(value["concurrency"])), _number(value["think_s"]))
    return OpenLoop(_number(value["rate_per_s"]), _number(value["cv"]))


def _decode_reading(value: Mapping[str, object]) -> Reading:
    pairs = value["latencies_s"]
    if not isinstance(pairs, list):
        raise TypeError("latencies_s is not a list")
    return Reading(
        throughput_per_s=_number(value["throughput_per_s"]),
        latencies_s=tuple((_number(p), _number(seconds, math.nan)) for p, seconds in pairs),
        requests=int(_number(value["requests"])),
        failures=int(_number(value["failures"])),
        mean_batch=_number(value["mean_batch"], math.nan),
        execution_s=_number(value["execution_s"], math.nan),
        saturated=bool(value["saturated"]),
        generator_cpu_s=_number(value["generator_cpu_s"]),
    )


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"not an object: {value!r}")
    return value


def _number(value: object, missing: float | None = None) -> float:
    if value is None and missing is not None:
        return missing
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"not a number: {value!r}")
    return float(value)


def _unusable(why: str, where: str, line: int) -> InvalidInputError:
    return InvalidInputError(
        "TG950", f"the tuning journal cannot be continued: {why}", where=f"{where}:{line}"
    )
