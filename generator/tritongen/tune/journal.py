"""The journal of a tuning: what was measured of one model, a line a measurement, durable each.

The first line says what is being tuned; a journal of something else is refused. A last line that
was cut off by a kill is dropped, since its measurement will simply be taken again.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model import codec
from tritongen.system.files import translated, write_atomic
from tritongen.system.own_files import open_own, read_own
from tritongen.tune.search.measurement_records import History, Task, TaskRecord

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


class Journal:
    """The journal of one model on disk.

    Args:
        folder: of all journals, made by `make_folder`.
        header: what is tuned.
    """

    def __init__(self, folder: Path, header: JournalHeader) -> None:
        self.path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', header.model)}.jsonl"
        self._header = header

    def begin(self, *, resume: bool) -> History:
        """Start afresh, or go on with what an earlier run of the same thing has measured.

        Raises:
            InvalidInputError: TG950, the journal is of something else, or damaged.
            EnvironmentProblem: TG004, TG005, it cannot be written.
        """
        history = decode(self._read(), self._header, str(self.path)) if resume else ()
        # A line that a kill cut off would spoil the next one.
        write_atomic(self.path, encode(self._header, history).encode(), mode=0o600)
        return history

    def append(self, record: TaskRecord) -> None:
        """Keep one record, even through a kill right after.

        Raises:
            EnvironmentProblem: TG004, TG005.
        """
        with translated(self.path):
            descriptor = open_own(self.path, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(line_of(record))
                file.flush()
                os.fsync(descriptor)

    def _read(self) -> str:
        try:
            return read_own(self.path).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        except OSError as problem:
            raise EnvironmentProblem(
                "TG004", f"cannot be read: {problem.strerror}", where=str(self.path)
            ) from problem


def line_of(value: JournalHeader | TaskRecord) -> str:
    """A line of the journal, with its line break; a task's fields stand beside its record's own.

    `report` reads these lines, too.
    """
    document = asdict(value)
    if isinstance(value, JournalHeader):
        document["schema"] = SCHEMA
    else:
        document |= document.pop("task")
    line = json.dumps(
        codec.finite(document), allow_nan=False, separators=(",", ":"), sort_keys=True
    )
    return line + "\n"


def encode(header: JournalHeader, history: Iterable[TaskRecord]) -> str:
    """A whole journal."""
    return line_of(header) + "".join(map(line_of, history))


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
    # A line counts once its line break is written.
    whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    if not whole:
        return ()
    if whole[0] != line_of(expected):
        raise _unusable("it is of another model, goal, machine or version", where, 1)
    records = []
    for number, line in enumerate(whole[1:], start=2):
        try:
            records.append(_record(codec.parse_json(line)))
        except (ValueError, TypeError, InvalidInputError) as error:
            raise _unusable(f"not a record ({error})", where, number) from error
    return tuple(records)


def _record(line: object) -> TaskRecord:
    if not isinstance(line, dict):
        raise TypeError(f"not an object: {line!r}")
    # JSON has no infinite number: a task without an end has none.
    names = [item.name for item in fields(Task)]
    task = {name: line.pop(name) for name in names if line.get(name) is not None}
    line.pop("max_seconds", None)
    return codec.decode(TaskRecord, {**line, "task": task})


def _unusable(why: str, where: str, line: int) -> InvalidInputError:
    return InvalidInputError(
        "TG950", f"the tuning journal cannot be continued: {why}", where=f"{where}:{line}"
    )
