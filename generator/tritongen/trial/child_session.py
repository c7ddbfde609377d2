"""Models that are loaded in child processes and run there as often as they are asked to.

`run_trial` asks for a verdict; this is for comparing answers: a model stays what it is, somebody
else's, and runs within the same limits and the same sandbox as in a trial. Models that are data
share one child, since its start takes longer than they do; each that is code has one of its own.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from subprocess import DEVNULL, Popen

from tritongen.errors import EnvironmentProblem
from tritongen.model.codec import encode
from tritongen.model.facts import ModelFacts
from tritongen.model.samples import Array
from tritongen.system.process_files import descendants
from tritongen.system.process_usage import resident_bytes_of
from tritongen.trial.child import WORKER, ChildEnd, end_worker, started_worker, watch_worker
from tritongen.trial.child_report import known_fix
from tritongen.trial.child_request import Limits, TrialOptions
from tritongen.trial.frames import read_frame, write_frame
from tritongen.trial.preparation import child_limits, packages_for
from tritongen.trial.runtime import DeclaredInterface, RuntimeRefusal
from tritongen.trial.target_library import target_library

# Chosen: twice what every library together takes. More that models have left behind would count
# against the limit of the next one.
_MAX_LEFT_BYTES = 2**30
_MAX_REASON_CHARACTERS = 2_000  # Chosen: libraries say less.


@dataclass(slots=True)
class _Child:
    """A process that loads and runs models.

    Attributes:
        process: the worker.
        timeout_s: of each request.
        allowed: bytes of resident memory for each model that is loaded, by its number.
        ended: why it cannot be asked any more, empty while it can.
    """

    process: "Popen[bytes]"
    timeout_s: float
    allowed: dict[int, int] = field(default_factory=dict)
    ended: str = ""
    _end: ChildEnd | None = None

    def ask(
        self, head: Mapping[str, object], arrays: Mapping[str, Array] | None = None, where: str = ""
    ) -> dict[str, Array]:
        """Send one message and wait for the answer.

        Raises:
            RuntimeRefusal: what was asked for raised, crashed, or went beyond a limit.
            EnvironmentProblem: TG006, the library that runs the format is not installed.
        """
        if self.ended:
            raise RuntimeRefusal(self.ended)
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(done,), daemon=True)
        watch.start()
        try:
            if self.process.stdin is None or self.process.stdout is None:
                raise EOFError
            write_frame(self.process.stdin, head, arrays)
            answer, outputs = read_frame(self.process.stdout)
        except (EOFError, OSError):
            watch.join()
            raise RuntimeRefusal(self._how_it_ended()) from None
        except (ValueError, TypeError, KeyError):
            self.ended = "its answer cannot be read"
            raise RuntimeRefusal(self.ended) from None
        finally:
            done.set()
            watch.join()
            if self._end is not None:  # also where the answer was in time, and the watch was not
                self.ended = self._how_it_ended()
        if missing := answer.get("missing"):
            raise EnvironmentProblem(
                "TG006",
                str(missing)[:_MAX_REASON_CHARACTERS],
                where=where,
                fix=known_fix(str(answer.get("fix"))),
            )
        if error := answer.get("error"):
            raise RuntimeRefusal(str(error)[:_MAX_REASON_CHARACTERS])
        return outputs

    def _watch(self, done: threading.Event) -> None:
        """Ends the child at its limits, which ends the reading from it."""
        deadline = time.monotonic() + self.timeout_s
        memory = sum(self.allowed.values())
        self._end = watch_worker(self.process.pid, deadline, memory, done)
        if self._end is not None:
            end_worker(self.process)

    def _how_it_ended(self) -> str:
        if self._end is ChildEnd.TIMED_OUT:
            return f"it took longer than {self.timeout_s:g} s"
        if self._end is ChildEnd.TOO_LARGE:
            memory = sum(self.allowed.values())
            return f"it took more than {memory / 2**30:.1f} GiB of memory"
        status = self.process.wait()
        return f"it crashed with {f'signal {-status}' if status < 0 else f'exit status {status}'}"

    def unload(self, number: int) -> None:
        """Forget a model; a child that does not give its memory back is not used again."""
        with suppress(RuntimeRefusal):
            self.ask({"unload": number})
            pid = self.process.pid
            if resident_bytes_of((pid, *descendants(pid))) > _MAX_LEFT_BYTES:
                self.ended = "models before it have left no memory"
        del self.allowed[number]


@dataclass(frozen=True, slots=True)
class ChildSession:
    """A model that is loaded in a child process; see `ChildSessions.session`."""

    child: _Child
    number: int

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name.

        Raises:
            RuntimeRefusal: the model raised, crashed, or went beyond a limit.
        """
        return self.child.ask({"run": self.number}, inputs)


class ChildSessions:
    """Where models are loaded, each with one thread; no process is left once it is closed.

    Args:
        models: all that may be loaded.
        options: limits of memory, of loading and of each run; the version of ONNX Runtime.
    """

    def __init__(self, models: Iterable[ModelFacts], options: TrialOptions | None = None) -> None:
        self._options = options or TrialOptions(cores=1)
        self._data = [facts for facts in models if not facts.format.is_code]
        self._numbers = count()
        self._processes = ExitStack()
        self._shared: _Child | None = None

    @property
    def installed_runtime(self) -> bool:
        """Whether the installed ONNX Runtime stands in for the wanted one."""
        return bool(target_library(self._options.onnxruntime, self._options.progress).reason)

    def close(self) -> None:
        """End the child that models share."""
        self._processes.close()

    @contextmanager
    def session(
        self, facts: ModelFacts, path: Path, interface: DeclaredInterface
    ) -> Iterator[ChildSession]:
        """A loaded model.

        Args:
            facts: of the model.
            path: its main file or folder.
            interface: what its file does not say.

        Raises:
            RuntimeRefusal: it is not loaded.
            EnvironmentProblem: TG006, the library that runs the format is not installed.
        """
        with ExitStack() as own:
            if facts.format.is_code:
                child = self._started(own, child_limits(facts, self._options, threads=1))
            else:
                child = self._of_data()
            number = next(self._numbers)
            child.allowed[number] = self._options.memory_limit(facts)
            if child is self._shared:
                own.callback(child.unload, number)
            request = {
                "load": number,
                "format": facts.format.value,
                "path": os.fspath(path.absolute()),
                "interface": encode(interface),
            }
            child.ask(request, where=facts.name)
            yield ChildSession(child, number)

    def _of_data(self) -> _Child:
        """The child of models that are data; another one where that has ended."""
        if self._shared is None or self._shared.ended:
            self._processes.close()
            largest = max(self._data, key=lambda facts: facts.weight_bytes)
            limits = child_limits(largest, self._options, threads=1)
            # Of all together; each request has a time of its own.
            limits = replace(limits, timeout_s=limits.timeout_s * len(self._data))
            self._shared = self._started(self._processes, limits)
        return self._shared

    def _started(self, processes: ExitStack, limits: Limits) -> _Child:
        # What a library writes of its own accord interests nobody here.
        process = processes.enter_context(started_worker(WORKER, errors=DEVNULL))
        if process.stdin is not None:
            # The child reads it before it imports what reads frames.
            packages = packages_for(self._data, self._options)
            line = json.dumps({"limits": encode(limits), "packages": packages})
            process.stdin.write(line.encode() + b"\n")
        return _Child(process, self._options.timeout_s)
