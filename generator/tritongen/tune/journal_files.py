"""The journals of tuning runs on disk: one file a model, a line a measurement, durable each."""

import os
import re
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.system.files import translated, write_atomic
from tritongen.system.own_files import open_own, read_own
from tritongen.tune.search.journal_lines import JournalHeader, decode, encode, encode_record
from tritongen.tune.search.measurement_records import History, Record


class JournalFile:
    """The journal of one model.

    Args:
        folder: of all journals, made by `make_folders`.
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
        history: History = ()
        if resume:
            history = decode(self._read(), self._header, str(self.path))
        # A line that a kill cut off would spoil the next one.
        write_atomic(self.path, encode(self._header, history).encode(), mode=0o600)
        return history

    def append(self, record: Record) -> None:
        """Keep one record, even through a kill right after.

        Raises:
            EnvironmentProblem: TG004, TG005.
        """
        with translated(self.path):
            descriptor = open_own(self.path, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(encode_record(record))
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
