"""Measurements of a tuning run: a task in, a record out, whatever happens to the server."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from tritongen.errors import TritongenError
from tritongen.model.evidence import ObservedTensor, instance_memory
from tritongen.probe.level import Conditions, Run
from tritongen.probe.load_job import InputOptions, LoadJob, make_messages
from tritongen.probe.prober import Prober
from tritongen.probe.statistics.measurement import (
    PERCENTILES,
    LevelResult,
    LevelVerdict,
    WantedPrecision,
)
from tritongen.queueing import OpenLoop
from tritongen.system.machine import own_cpus, pin, read_cpus
from tritongen.system.process_usage import (
    available_bytes,
    busy_seconds,
    cpu_seconds,
    local_server,
    process_tree,
)
from tritongen.system.sample_files import find_samples
from tritongen.triton.control import ServerControl
from tritongen.triton.messages import Message
from tritongen.triton.server import RuntimeName
from tritongen.triton.statistics import served_config
from tritongen.tune.search.measurement_records import LoadReading, Purpose, Task, TaskRecord
from tritongen.tune.search.objective import THROUGHPUT_SAMPLES
from tritongen.tune.tune_server import Cores, PrivateServer, divide_cores
from tritongen.tune.tuned_model import Loadable, Subject, loadable

# Connections, caches and batches settle within this time; models warm up when they are loaded.
_WARMUP_S = 0.25
_MAX_WARMUP_S = 3.0
# Latencies after which a closed loop of slow requests runs evenly.
_SETTLED = 1.5
_DRAIN_S = 10.0
_PATIENCE_S = 10.0
# Any interval will do: how long to measure is the search's decision.
_ANY_WIDTH = 1e9
# Requests of a model are kept within this size for each configuration.
_POOL_BYTES = 8 << 20
# Server deaths without a sound measurement in between, after which it is given up.
_MAX_DEATHS = 3
# With less than this the machine begins to swap, or to kill.
_MIN_FREE_BYTES = 256 << 20
_MIN_INSTANCES, _MAX_INSTANCES = 8, 48


@dataclass(slots=True)
class Interference:
    """CPU time that neither the server nor the load generator took, while measuring.

    Attributes:
        others_s: of other processes.
        whole_s: of all CPUs.
    """

    others_s: float = 0.0
    whole_s: float = 0.0

    @property
    def share(self) -> float:
        """Of the machine, 0 when nothing was measured."""
        return self.others_s / self.whole_s if self.whole_s > 0.0 else 0.0


@dataclass(slots=True)
class TaskRunner:
    """The private server, and what is needed to measure on it.

    Attributes:
        server: started when it is needed.
        seed: of arrivals and inputs.
        clock: seconds of tuning time.
        interference: of other processes.
        deaths: of the server, since the last sound measurement.
        died: the server's last words, one for each death.
        interrupted: number of the signal that ended the last measurement, 0 for none.
        short_of_memory: how often the server was ended because memory ran short.
    """

    server: PrivateServer
    seed: int
    clock: Callable[[], float]
    interference: Interference = field(default_factory=Interference)
    deaths: int = 0
    died: list[str] = field(default_factory=list)
    interrupted: int = 0
    short_of_memory: int = 0
    # CPUs that this process may use, before any is left to the server alone.
    _cpus: list[int] = field(default_factory=lambda: sorted(own_cpus()))
    _messages: dict[tuple[str, str, bool, int], tuple[Message, ...]] = field(default_factory=dict)
    _probers: dict[tuple[str, int], Prober] = field(default_factory=dict)
    _known: dict[tuple[str, str, str, bool, bool], Loadable] = field(default_factory=dict)

    @property
    def hopeless(self) -> bool:
        """Whether the server keeps dying."""
        return self.deaths >= _MAX_DEATHS

    def close(self) -> None:
        """End everything; a measurement after it finds a new server with nothing loaded."""
        self._close_probers()
        self.server.stop()

    def cores(self, subject: Subject) -> Cores:
        """Who computes where, for a model."""
        return divide_cores(subject.cores, self._cpus)

    def configuration(self, subject: Subject, task: Task) -> Loadable:
        """What a task asks to be loaded."""
        default = task.purpose is Purpose.BASELINE
        confined = self.server.runtime is RuntimeName.EMBEDDED
        key = (subject.name, subject.variant, task.candidate.key, default and confined, default)
        if key not in self._known:
            unpinned = _host_threads(self.cores(subject)) if default and confined else 0
            self._known[key] = loadable(subject, task.candidate, default=default, unpinned=unpinned)
        return self._known[key]

    def measure(self, subject: Subject, task: Task) -> TaskRecord:
        """Load what the task asks for and measure it; failures become records, too.

        Raises:
            EnvironmentProblem: the server cannot be started at all.
        """
        begun = self.clock()
        wanted = self.configuration(subject, task)
        if self.server.alive() and available_bytes() < _MIN_FREE_BYTES:
            self.short_of_memory += 1
            self.close()
        started = self.server.ensure(self.cores(subject), wanted.environment)
        if started:
            self._close_probers()
        try:
            slot = self.server.load(wanted, subject.facts, _room(subject))
            reading, error = self._probe(subject, task, slot)
        except TritongenError as problem:
            reading, error = None, problem.what
        if not self.server.alive():
            error = self._buried(subject, error)
        elif reading is not None and reading.sound and not error:
            self.deaths = 0
        return TaskRecord(task, None if error else reading, begun, self.clock(), error)

    def _buried(self, subject: Subject, error: str) -> str:
        """Takes note of the server's death; the next measurement starts another one."""
        self.deaths += 1
        words = self.server.last_words() or error or "the server ended"
        self.died.append(f"{words}, while {subject.name} was measured")
        self.close()
        return words

    def _close_probers(self) -> None:
        for prober in self._probers.values():
            prober.close()
        self._probers.clear()

    def _probe(self, subject: Subject, task: Task, slot: str) -> tuple[LoadReading | None, str]:
        prober = self._prober(subject, task, slot)
        pids = self._server_pids()
        with _pinned(self.server.cores), _watched(self.interference, pids):
            outcome = prober.run(task.load, self._conditions(subject, task))
        self.interrupted = outcome.interrupted
        reading, error = self._read(outcome, subject.objective.percentile)
        if reading is not None and subject.gpu:
            reading = replace(reading, gpus=self.server.gpu_use())
        return reading, error

    def _server_pids(self) -> tuple[int, ...]:
        endpoint = self.server.endpoint
        pid = local_server(endpoint.host, endpoint.port)
        return tuple(process_tree(pid)) if pid is not None else ()

    def _conditions(self, subject: Subject, task: Task) -> Conditions:
        longest = task.max_seconds if task.min_requests else task.seconds
        tail = subject.objective.limit_s is not None or subject.objective.open_loop
        percentile = subject.objective.percentile if tail else 50.0
        if task.purpose in {Purpose.CALIBRATE, Purpose.SWEEP}:
            # At a rate it is looked for what one request in a hundred meets.
            percentile = 99.0 if isinstance(task.load, OpenLoop) else 50.0
        return Conditions(
            budget_s=max(task.seconds, min(longest, 10.0 * task.seconds)),
            least_s=task.seconds,
            precision=WantedPrecision(percentile, _ANY_WIDTH),
            warmup_s=_warmup_s(task),
            drain_s=_DRAIN_S,
            patience_s=_PATIENCE_S,
            seed=self.seed + task.round,
        )

    def _read(self, outcome: Run, percentile: float) -> tuple[LoadReading | None, str]:
        result = outcome.results[0]
        if outcome.interrupted:
            return None, "interrupted"
        if outcome.gone:
            return None, outcome.ended
        failed = result.requests.failed
        reading = _reading(result, percentile)
        if failed and not reading.sound:
            example = next(iter(result.requests.examples.values()), result.reason)
            return reading, f"{failed} of {failed + reading.requests} requests failed: {example}"
        return reading, ""

    def _prober(self, subject: Subject, task: Task, slot: str) -> Prober:
        rows = task.rows
        found = self._probers.get((slot, rows))
        if found is not None:
            return found
        control = self.server.running.control
        job = self._job(subject, rows, slot, control)
        prober = Prober(self.server.endpoint, control, [job])
        try:
            prober.check()
        except BaseException:
            prober.close()
            raise
        self._probers[slot, rows] = prober
        return prober

    def _job(self, subject: Subject, rows: int, slot: str, control: ServerControl) -> LoadJob:
        meta = control.metadata(slot)
        config = served_config(slot, control.config(slot))
        batches = config.max_batch_size > 0
        key = (subject.name, subject.variant, batches, rows)
        if key not in self._messages:
            options = _inputs(subject, rows, self.seed, batches=batches)
            if named := subject.intent.of(subject.name).samples:
                options = replace(options, samples=find_samples(self.server.root, named))
            made = make_messages(meta, "", batches, options)
            size = max(1, made[0].payload_bytes)
            self._messages[key] = made[: max(2, _POOL_BYTES // size)]
        messages = tuple(replace(message, model=slot) for message in self._messages[key])
        return LoadJob(slot, "", meta, config, messages, rows if batches else 1)


def _host_threads(cores: Cores) -> int:
    """Threads that a library starts by itself, where affinity alone keeps the server to its CPUs.

    ONNX Runtime pins them to every core of the host, beyond the affinity that it was started with:
    the auto-completed configuration would be measured on more CPUs than the target has. As many
    threads without the pins stay where they belong. 0 where the server has every CPU.
    """
    reading = read_cpus()
    whole = len(cores.server) >= (os.cpu_count() or 1)
    return 0 if whole else (reading.physical or reading.affinity)


def _warmup_s(task: Task) -> float:
    """Longer where the clients' first requests alone take long.

    The search asks for as many seconds as bring it some 200 answers, so that their rate is known
    roughly.
    """
    latency = max(1, task.clients) * task.seconds / THROUGHPUT_SAMPLES
    return min(max(_WARMUP_S, _SETTLED * latency), _MAX_WARMUP_S)


def _inputs(subject: Subject, rows: int, seed: int, *, batches: bool) -> InputOptions:
    """Inputs as they were in the trial, with so many rows; as the probe makes them without one."""
    trial = subject.evidence.trial
    declared = subject.intent.of(subject.name).inputs
    batch = rows if batches else 1
    if trial is None or not trial.ok:
        return InputOptions(batch=batch, declared=declared, seed=seed)
    return InputOptions(
        batch=batch,
        shapes={tensor.name: _shape(subject, tensor, rows, batches) for tensor in trial.inputs},
        values={tensor.name: tensor.values for tensor in trial.inputs if tensor.values},
        declared=declared,
        seed=seed,
    )


def _shape(subject: Subject, tensor: ObservedTensor, rows: int, batches: bool) -> tuple[int, ...]:
    """As it is sent: Triton has no rank 0, and a row is at least [1] beside the batch axis."""
    if batches:
        return (rows, *(tensor.shape[1:] or (1,)))
    if subject.space.client_rows:
        return (rows, *tensor.shape[1:])
    return tensor.shape or (1,)


def _reading(result: LevelResult, percentile: float) -> LoadReading:
    histogram = result.latency.histogram
    wanted = sorted({*PERCENTILES, percentile})
    attribution = result.attribution
    own = attribution.own if attribution is not None else None
    return LoadReading(
        throughput_per_s=result.throughput.value if result.throughput is not None else 0.0,
        latencies_s=tuple((p, histogram.quantile(p / 100.0) / 1e9) for p in wanted)
        if histogram.total
        else (),
        requests=result.requests.ok,
        failures=result.requests.failed,
        mean_batch=own.average_batch or 0.0 if own is not None else 0.0,
        execution_s=(own.execution_us or 0.0) / 1e6 if own is not None else 0.0,
        saturated=result.verdict is LevelVerdict.SATURATED,
    )


def _room(subject: Subject) -> int:
    """Instances that may be loaded at once: what half of the free memory holds, or a card."""
    if subject.room:
        return subject.room
    each = instance_memory(subject.evidence.trial, subject.facts.weight_bytes)
    return max(_MIN_INSTANCES, min(_MAX_INSTANCES, available_bytes() // 2 // each))


@contextlib.contextmanager
def _pinned(cores: Cores) -> Iterator[None]:
    """Keeps the load generator on its own CPUs while it measures."""
    before = own_cpus()
    wanted = set(cores.generator) & before
    if wanted:
        pin(wanted)
    try:
        yield
    finally:
        pin(before)


@contextlib.contextmanager
def _watched(seen: Interference, pids: tuple[int, ...]) -> Iterator[None]:
    """Adds up what others took of the CPUs meanwhile; nothing where that cannot be read."""
    counted = (os.getpid(), *pids)
    begun, before, ours = time.monotonic(), busy_seconds(), cpu_seconds(*counted)
    yield
    after = busy_seconds()
    if before is None or after is None or not pids:
        return
    seen.others_s += max(0.0, after - before - (cpu_seconds(*counted) - ours))
    seen.whole_s += (time.monotonic() - begun) * (os.cpu_count() or 1)
