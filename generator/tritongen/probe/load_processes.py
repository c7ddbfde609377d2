"""A load made by several processes, for servers that are faster than one core's client.

Each process has an engine and connections of its own and makes every n-th request of the same
load; its records come back as bytes. The processes end when they are told to, and also when the
one that started them is gone.
"""

import contextlib
import json
import os
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritongen.errors import EnvironmentProblem, TritongenError
from tritongen.probe.generator import Generator, Progress, Records
from tritongen.probe.load_engine import Engine, clock_ns
from tritongen.probe.recorder import Durations, Recorder
from tritongen.probe.workload import Load

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


_HEAD = struct.Struct(">cQ")
_FINE, _FAULT = b"+", b"-"
# For each process to start and to open its connections before all begin together. Chosen.
_LEAD_NS = 20_000_000


class LoadProcesses:
    """Several generators that make one load together; see `Generator` for the calls."""

    def __init__(
        self, make_engine: Callable[[int], Engine], load: Load, seed: int, processes: int
    ) -> None:
        """Prepare a load.

        Args:
            make_engine: called once in each process, with the process's number.
            load: the whole of it.
            seed: of the arrivals.
            processes: how many.
        """
        self._make_engine = make_engine
        self._load, self._seed, self._count = load, seed, processes
        self._workers: list[_Worker] = []
        self._progress = Progress()
        self._begin = 0

    def start(self) -> None:
        """Start the processes, open their connections and begin together.

        Raises:
            EnvironmentProblem: TG901, the server cannot be reached; TG917, a process ended.
        """
        self._begin = begin = clock_ns() + _LEAD_NS * self._count
        for part in range(self._count):
            self._workers.append(_Worker(part, self._serve, [w.link for w in self._workers]))
        self._ask("start", begin_ns=begin)
        self._refresh()

    def _serve(self, part: int, link: socket.socket) -> None:
        """What a load process does until it is told to end."""
        engine = self._make_engine(part)
        generator = Generator(engine, self._load, self._seed, part, self._count)
        try:
            while (message := _receive(link)) is not None:
                order, arguments = json.loads(message[1])
                _obey(order, arguments, generator, link)
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
        now = clock_ns()
        self._ask("finish", drain_s=drain_s, at_ns=now)
        return now

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
        return merge_records([unpack_records(part) for part in self._ask("records")])

    def _refresh(self) -> None:
        parts = [unpack_progress(part) for part in self._ask("progress")]
        self._progress = Progress(
            now_ns=clock_ns(),
            outstanding=sum(part.outstanding for part in parts),
            capped=sum(part.capped for part in parts),
            last_success_ns=max(part.last_success_ns for part in parts),
            lost=sum(part.lost for part in parts),
            exhausted=all(part.exhausted for part in parts),
            cpu_ns=sum(part.cpu_ns for part in parts),
            request_ns=sum(part.request_ns for part in parts),
            finished=sum(part.finished for part in parts),
        )

    def _ask(self, order: str, **arguments: float) -> list[bytes]:
        """Call the same method of every process's generator, and wait for all of them."""
        for worker in self._workers:
            worker.send(order, arguments)
        return [worker.receive() for worker in self._workers]


class _Worker:
    """One process and the link to it."""

    def __init__(
        self,
        part: int,
        serve: Callable[[int, socket.socket], None],
        others: list[socket.socket],
    ) -> None:
        self.link, theirs = socket.socketpair()
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
                code = 0
            except TritongenError as fault:
                _send(theirs, _FAULT, _fault_json(fault))
            except (BrokenPipeError, ConnectionResetError):
                code = 0
            finally:
                os._exit(code)
        theirs.close()

    def send(self, order: str, arguments: Mapping[str, float]) -> None:
        """Give an order."""
        with contextlib.suppress(BrokenPipeError):
            # Its last words are read by `receive`.
            _send(self.link, _FINE, json.dumps([order, arguments]).encode())

    def receive(self) -> bytes:
        """The answer to the last order."""
        message = _receive(self.link)
        if message is None:
            raise EnvironmentProblem("TG917", f"load process {self.pid} ended")
        kind, data = message
        if kind == _FAULT:
            fault = json.loads(data)
            raise EnvironmentProblem(fault["code"], fault["what"], where=fault["where"])
        return data

    def end(self) -> None:
        """Close the link, which ends the process, and wait for that."""
        self.link.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _fault_json(fault: TritongenError) -> bytes:
    return json.dumps({"code": fault.code, "what": fault.what, "where": fault.where}).encode()


def _obey(
    order: str, arguments: Mapping[str, float], generator: Generator, link: socket.socket
) -> None:
    """Carry out one order and answer."""
    orders: dict[str, Callable[..., object]] = {
        "start": generator.start,
        "run": generator.run,
        "mark": generator.mark,
        "finish": generator.finish,
        "progress": lambda: pack_progress(generator.progress()),
        "records": lambda: pack_records(generator.records()),
    }
    try:
        answer = orders[order](**arguments)
    except TritongenError as fault:
        _send(link, _FAULT, _fault_json(fault))
        return
    _send(link, _FINE, answer if isinstance(answer, bytes) else b"")


def _send(link: socket.socket, kind: bytes, data: bytes) -> None:
    link.sendall(_HEAD.pack(kind, len(data)) + data)


def _receive(link: socket.socket) -> tuple[bytes, bytes] | None:
    head = _exactly(link, _HEAD.size)
    if head is None:
        return None
    kind, size = _HEAD.unpack(head)
    data = _exactly(link, size)
    return None if data is None else (kind, data)


def _exactly(link: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        try:
            piece = link.recv(min(size - len(data), 1 << 20))
        except ConnectionResetError:
            return None
        if not piece:
            return None
        data += piece
    return bytes(data)
