"""Records as bytes, for the way from a load process to the one that asked for it."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritongen.probe.generator import Progress, Records
from tritongen.probe.recorder import Durations, Recorder

_ARRAYS = ("latencies", "counts", "sums", "completed", "failed", "outstanding")
_DURATIONS = ("everything", "service", "lateness")


def pack_progress(progress: Progress) -> bytes:
    """A progress as JSON."""
    return json.dumps(asdict(progress)).encode()


def unpack_progress(data: bytes) -> Progress:
    """The inverse of `pack_progress`."""
    return Progress(**json.loads(data))


def pack_records(records: Records) -> bytes:
    """Records as a line of JSON and the arrays behind it."""
    pieces: list[bytes] = []
    head = {
        "warmup": [_pack_recorder(recorder, pieces) for recorder in records.warmup],
        "main": [_pack_recorder(recorder, pieces) for recorder in records.main],
        "due": records.due,
        "unsent": records.unsent,
        "unfinished": records.unfinished,
    }
    return json.dumps(head).encode() + b"\n" + b"".join(pieces)


def unpack_records(data: bytes) -> Records:
    """The inverse of `pack_records`."""
    line, _, body = data.partition(b"\n")
    head = json.loads(line)
    reader = _RecordReader(body)
    return Records(
        warmup=[_unpack_recorder(item, reader) for item in head["warmup"]],
        main=[_unpack_recorder(item, reader) for item in head["main"]],
        due=head["due"],
        unsent=head["unsent"],
        unfinished=head["unfinished"],
    )


def merge_records(parts: list[Records]) -> Records:
    """The records of several processes as if one had made the whole load."""
    whole = parts[0]
    for part in parts[1:]:
        for mine, other in zip(whole.warmup, part.warmup, strict=True):
            mine.merge(other)
        for mine, other in zip(whole.main, part.main, strict=True):
            mine.merge(other)
        whole.due += part.due
        whole.unsent += part.unsent
        whole.unfinished += part.unfinished
    return whole


class _RecordReader:
    def __init__(self, data: bytes) -> None:
        self._data, self._position = data, 0

    def fill(self, array: NDArray[Any]) -> None:
        """The next bytes into an array of the right size."""
        flat = np.frombuffer(self._data, array.dtype, array.size, self._position)
        array[...] = flat.reshape(array.shape)
        self._position += array.nbytes


def _pack_recorder(recorder: Recorder, pieces: list[bytes]) -> dict[str, Any]:
    pieces += [getattr(recorder, name).tobytes() for name in _ARRAYS]
    durations: dict[str, Durations] = {name: getattr(recorder, name) for name in _DURATIONS}
    pieces += [item.counts.tobytes() for item in durations.values()]
    return {
        "begin_ns": recorder.begin_ns,
        "slot_ns": recorder.slot_ns,
        "least": recorder.least,
        "most": recorder.most,
        "codes": recorder.codes,
        "examples": recorder.examples,
        "durations": {
            name: [item.total_ns, item.least, item.most] for name, item in durations.items()
        },
    }


def _unpack_recorder(head: dict[str, Any], reader: _RecordReader) -> Recorder:
    recorder = Recorder(head["begin_ns"])
    recorder.slot_ns = head["slot_ns"]
    recorder.least, recorder.most = head["least"], head["most"]
    recorder.codes, recorder.examples = head["codes"], head["examples"]
    for name in _ARRAYS:
        reader.fill(getattr(recorder, name))
    for name in _DURATIONS:
        item: Durations = getattr(recorder, name)
        reader.fill(item.counts)
        item.total_ns, item.least, item.most = head["durations"][name]
    return recorder
