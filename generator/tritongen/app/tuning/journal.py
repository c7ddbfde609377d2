"""The journals of tuning runs on disk: one file a model, a line a measurement, durable each."""

import os
import re
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.search.journal import JournalHeader, decode, encode, encode_record
from tritongen.search.records import History, Record
from tritongen.serving.files import translated, write_atomic


class JournalFile:
    """The journal of one model.

    Args:
        folder: of all journals; it need not exist.
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
        with translated(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # A line that a kill cut off would spoil the next one.
        write_atomic(self.path, encode(self._header, history).encode())
        return history

    def append(self, record: Record) -> None:
        """Keep one record, even through a kill right after.

        Raises:
            EnvironmentProblem: TG004, TG005.
        """
        with translated(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(encode_record(record))
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as problem:
            raise EnvironmentProblem(
                "TG004", f"cannot be read: {problem.strerror}", where=str(self.path)
            ) from problem
