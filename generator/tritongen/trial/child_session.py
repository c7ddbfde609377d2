"""A model that is loaded in a child process and run there as often as it is asked to.

`run_trial` asks for a verdict; this is for comparing answers: the model stays what it is, somebody
else's, and runs within the same limits and the same sandbox as in a trial.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import IO

from tritongen.errors import EnvironmentProblem
from tritongen.model.codec import encode
from tritongen.model.facts import ModelFacts
from tritongen.model.samples import Array
from tritongen.trial.child import ChildEnd, end_worker, started_worker, watch_worker
from tritongen.trial.frames import read_frame, write_frame
from tritongen.trial.preparation import child_limits
from tritongen.trial.runtime import DeclaredInterface, RuntimeRefusal
from tritongen.trial.trial_options import TrialOptions

__all__ = ["ChildSession", "child_session"]

_WORKER = "tritongen.trial.session_worker"


@dataclass(slots=True)
class ChildSession:
    """A loaded model; see `child_session`."""

    process: "Popen[bytes]"
    timeout_s: float
    memory_bytes: int
    _end: ChildEnd | None = field(default=None, init=False)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name.

        Raises:
            RuntimeRefusal: the model raised, crashed, or went beyond a limit.
        """
        return self._ask(lambda stream: write_frame(stream, {}, inputs))

    def load(self, request: Mapping[str, object], where: str) -> None:
        """Have the model loaded, by a line that the child reads before it imports anything.

        Raises:
            RuntimeRefusal: it is not loaded.
            EnvironmentProblem: TG006, the library that runs the format is not installed.
        """
        line = json.dumps(request).encode() + b"\n"
        self._ask(lambda stream: stream.write(line), where)

    def _ask(self, send: Callable[[IO[bytes]], object], where: str = "") -> dict[str, Array]:
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(done,), daemon=True)
        watch.start()
        try:
            if self.process.stdin is None or self.process.stdout is None:
                raise EOFError
            send(self.process.stdin)
            self.process.stdin.flush()
            answer, arrays = read_frame(self.process.stdout)
        except (EOFError, OSError):
            watch.join()
            raise RuntimeRefusal(self._how_it_ended()) from None
        except (ValueError, TypeError, KeyError):
            raise RuntimeRefusal("its answer cannot be read") from None
        finally:
            done.set()
            watch.join()
        if missing := answer.get("missing"):
            what, fix = map(str, missing) if isinstance(missing, list) else (str(missing), "")
            raise EnvironmentProblem("TG006", what, where=where, fix=fix)
        if error := answer.get("error"):
            raise RuntimeRefusal(str(error))
        return arrays

    def _watch(self, done: threading.Event) -> None:
        """Ends the child at its limits, which ends the reading from it."""
        deadline = time.monotonic() + self.timeout_s
        self._end = watch_worker(self.process.pid, deadline, self.memory_bytes, done.is_set)
        if self._end is not None:
            end_worker(self.process)

    def _how_it_ended(self) -> str:
        if self._end is ChildEnd.TIMED_OUT:
            return f"it took longer than {self.timeout_s:g} s"
        if self._end is ChildEnd.TOO_LARGE:
            return f"it took more than {self.memory_bytes / 2**30:.1f} GiB of memory"
        status = self.process.wait()
        return f"it crashed with {f'signal {-status}' if status < 0 else f'exit status {status}'}"


@contextmanager
def child_session(
    facts: ModelFacts, path: Path, interface: DeclaredInterface, options: TrialOptions | None = None
) -> Iterator[ChildSession]:
    """A model loaded in a child process, with one thread.

    Args:
        facts: of the model.
        path: its main file or folder.
        interface: what its file does not say.
        options: limits of memory, and of the time of loading and of each run.

    Raises:
        RuntimeRefusal: it is not loaded.
        EnvironmentProblem: TG006, the library that runs the format is not installed.
    """
    options = options or TrialOptions(cores=1)
    limits = child_limits(facts, options, threads=1)
    with started_worker(_WORKER) as process:
        drain = threading.Thread(target=_discard, args=(process.stderr,), daemon=True)
        drain.start()
        session = ChildSession(process, options.timeout_s, options.memory_limit(facts))
        request = {
            "format": facts.format.value,
            "path": os.fspath(path.absolute()),
            "interface": encode(interface),
            "limits": encode(limits),
        }
        session.load(request, facts.name)
        yield session


def _discard(stream: IO[bytes] | None) -> None:
    # What a library writes of its own accord; closed with the process.
    with suppress(OSError, ValueError):
        while stream is not None and os.read(stream.fileno(), 65_536):
            pass
