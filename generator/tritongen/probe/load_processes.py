"""A load made by several processes, for servers that are faster than one core's client.

Each process has an engine and connections of its own and makes every n-th request of the same
load; its records come back as bytes. The processes end when they are told to, and also when the
one that started them is gone.
"""

import contextlib
import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from typing import Any

import numpy as np

from tritongen.errors import EnvironmentProblem, TritongenError
from tritongen.probe.engines.slot_engine import Engine
from tritongen.probe.generator import Generator, Progress, Records
from tritongen.probe.load_engine import clock_ns
from tritongen.probe.recorder import Durations, Recorder
from tritongen.probe.workload import Load

# For each process to take its order before all begin together. Chosen.
_LEAD_NS = 20_000_000
# What travels besides plain values and arrays, by name.
_KINDS = {kind.__name__: kind for kind in (Progress, Records, Recorder, Durations)}
# Of a progress, what adds up over processes.
_SUMS = ("outstanding", "capped", "lost", "cpu_ns", "request_ns", "finished")


@dataclass(slots=True)
class LoadProcesses:
    """Several generators that make one load together; see `Generator` for the calls.

    Attributes:
        make_engine: called once in each process, with the process's number.
        load: the whole of it.
        seed: of the arrivals.
        processes: how many.
        requests: of all together, None for no end.
    """

    make_engine: Callable[[int], Engine]
    load: Load
    seed: int
    processes: int
    requests: int | None = None
    _workers: "list[_Worker]" = field(default_factory=list)
    _progress: Progress = field(default_factory=Progress)
    _begin: int = 0

    def start(self, begin_ns: int | None = None) -> None:
        """Start the processes, open their connections and begin together.

        Args:
            begin_ns: at that moment; None for now.

        Raises:
            EnvironmentProblem: TG901, the server cannot be reached; TG917, a process ended.
        """
        for part in range(self.processes):
            self._workers.append(_Worker(part, self._serve, [w.link for w in self._workers]))
        self._ask("open")
        self._begin = max(clock_ns() + _LEAD_NS * self.processes, begin_ns or 0)
        self._ask("start", begin_ns=self._begin)
        self._refresh()

    def _serve(self, part: int, link: Connection) -> None:
        """What a load process does until the link is closed."""
        engine = self.make_engine(part)
        generator = Generator(
            engine, self.load, self.seed, part, self.processes, requests=self.requests
        )
        try:
            while True:
                order, arguments = unpacked(link.recv_bytes())
                try:
                    answer = [None, getattr(generator, order)(**arguments)]
                except TritongenError as fault:
                    answer = _refusal(fault)
                link.send_bytes(packed(answer))
        finally:
            engine.close()

    def run(self, until_ns: int) -> None:
        """Make the load until that moment."""
        self._ask("run", until_ns=until_ns)
        self._refresh()

    def mark(self, *, from_begin: bool = False) -> int:
        """The measured window begins now, or has begun with the load."""
        now = self._begin if from_begin else clock_ns()
        self._ask("mark", from_begin=from_begin, at_ns=now)
        self._refresh()
        return now

    def finish(self, drain_s: float) -> int:
        """The window ends now."""
        return int(max(self._ask("finish", drain_s=drain_s, at_ns=clock_ns())))

    def stop(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def progress(self) -> Progress:
        """Where the load stands, as of the end of the last step."""
        self._progress.now_ns = clock_ns()
        return self._progress

    def records(self) -> Records:
        """What was recorded so far, of all processes together."""
        return merge_records(self._ask("records"))

    def _refresh(self) -> None:
        parts: list[Progress] = self._ask("progress")
        self._progress = Progress(
            last_success_ns=max(part.last_success_ns for part in parts),
            exhausted=all(part.exhausted for part in parts),
        )
        for name in _SUMS:
            setattr(self._progress, name, sum(getattr(part, name) for part in parts))

    def _ask(self, order: str, **arguments: float) -> list[Any]:
        """Call the same method of every process's generator, and wait for all of them."""
        for worker in self._workers:
            worker.send(order, arguments)
        return [worker.receive() for worker in self._workers]


class _Worker:
    """One process and the link to it."""

    def __init__(
        self, part: int, serve: Callable[[int, Connection], None], others: list[Connection]
    ) -> None:
        self.link, theirs = Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # Nothing of the parent may run here: no exit handlers, no cleaning up of its things.
            code = 1
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                for link in (self.link, *others):
                    link.close()
                serve(part, theirs)
            except TritongenError as fault:
                theirs.send_bytes(packed(_refusal(fault)))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                code = 0
            finally:
                os._exit(code)
        theirs.close()

    def send(self, order: str, arguments: dict[str, float]) -> None:
        """Give an order."""
        with contextlib.suppress(BrokenPipeError):
            # Its last words are read by `receive`.
            self.link.send_bytes(packed([order, arguments]))

    def receive(self) -> Any:  # noqa: ANN401  (what a generator's method gives)
        """The answer to the last order."""
        try:
            fault, answer = unpacked(self.link.recv_bytes())
        except (EOFError, ConnectionResetError):
            raise EnvironmentProblem("TG917", f"load process {self.pid} ended") from None
        if fault is not None:
            code, what, where = fault
            raise EnvironmentProblem(code, what, where=where)
        return answer

    def end(self) -> None:
        """Close the link, which ends the process, and wait for that."""
        self.link.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _refusal(fault: TritongenError) -> list[Any]:
    """In place of an answer: a fault, and nothing else."""
    return [[fault.code, fault.what, fault.where], None]


def packed(value: object) -> bytes:
    """Records, progress or plain values as a line of JSON, and the arrays behind it."""
    pieces: list[bytes] = []

    def plain(item: Any) -> dict[str, Any]:  # noqa: ANN401  (what JSON has no word for)
        if isinstance(item, np.ndarray):
            pieces.append(item.tobytes())
            return {"array": item.dtype.str, "shape": item.shape}
        names = getattr(item, "__slots__", None) or vars(item)
        return {"kind": type(item).__name__, **{name: getattr(item, name) for name in names}}

    return json.dumps(value, default=plain).encode() + b"\n" + b"".join(pieces)


def unpacked(data: bytes) -> Any:  # noqa: ANN401  (what was packed)
    """The inverse of `packed`."""
    line, _, body = data.partition(b"\n")
    position = 0

    def restored(item: dict[str, Any]) -> Any:  # noqa: ANN401  (of one of the kinds)
        nonlocal position
        if "array" in item:
            flat = np.frombuffer(body, item["array"], math.prod(item["shape"]), position)
            position += flat.nbytes
            return flat.reshape(item["shape"]).copy()
        if "kind" not in item:
            return item
        kind = _KINDS[item.pop("kind")]
        made: Any = object.__new__(kind)
        for name, content in item.items():
            setattr(made, name, content)
        return made

    return json.loads(line, object_hook=restored)


def merge_records(parts: list[Records]) -> Records:
    """The records of several processes as if one had made the whole load."""
    whole = parts[0]
    for part in parts[1:]:
        ours, theirs = (*whole.warmup, *whole.main), (*part.warmup, *part.main)
        for mine, other in zip(ours, theirs, strict=True):
            mine.merge(other)
        whole.due += part.due
        whole.unsent += part.unsent
        whole.unfinished += part.unfinished
    return whole
