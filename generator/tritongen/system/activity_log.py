"""What the tool itself did, in one file of a project's state folder that its user can send.

Every module writes to its own logger below ``tritongen``; here is where that goes. No folder is
made for it: the lines wait until the command itself makes one, or are lost.
"""

import logging
import os
import time
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.model.printable import printable_line
from tritongen.system.own_files import check_folder, open_own

LOG_FILE = "tritongen.log"
# Of the file and of the one before it. Chosen: some thousand commands, and small enough for a mail.
MAX_LOG_BYTES = 1 << 20
# Chosen: no command says more before it has made its folder.
_MAX_WAITING_LINES = 1000


class LogLines(logging.Formatter):
    """Records in UTC and with the process; what is longer than a line goes on indented."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text without a command for a terminal in it."""
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        head = f"{moment}.{int(record.msecs):03d}Z {record.process} {record.levelname}"
        text = f"{head} {record.name}: {record.getMessage()}"
        if record.exc_info:
            text += f"\n{self.formatException(record.exc_info)}"
        return "\n  ".join(map(printable_line, text.split("\n")))


class ActivityLog(logging.Handler):
    """Appends to the log of a state folder, which is for this user alone and of bounded size.

    Attributes:
        problem: why nothing is written, None when all is well: the command goes on without.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(LogLines())
        self.problem: EnvironmentProblem | OSError | None = None
        self._folder = folder
        self._path = folder / LOG_FILE
        self._waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and those that wait, once there is a folder."""
        if self.problem is not None:
            return
        self._waiting = [*self._waiting, self.format(record)][-_MAX_WAITING_LINES:]
        try:
            check_folder(self._folder)
            self._append("\n".join(self._waiting) + "\n")
        except FileNotFoundError:
            return
        except (EnvironmentProblem, OSError) as problem:
            self.problem = problem
        self._waiting = []

    def _append(self, text: str) -> None:
        descriptor = open_own(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            if os.fstat(descriptor).st_size > MAX_LOG_BYTES:
                # Whoever has it open still writes to it, under its new name.
                self._path.replace(self._path.with_name(f"{LOG_FILE}.1"))
                os.close(descriptor)
                descriptor = open_own(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(descriptor, text.encode("utf-8", "backslashreplace"))
        finally:
            os.close(descriptor)
