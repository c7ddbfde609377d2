"""A Triton that needs no machine: hidden service times, noise, drift and a clock of its own.

What it hides cannot be fitted exactly by the search's model: threads do not follow Amdahl's law,
every configuration has a quirk of its own, and the machine drifts.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from support.run_folder import computed_once
from tritongen.queueing import (
    ClosedLoop,
    FrontEnd,
    OpenLoop,
    Pauses,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    SimulatedModel,
    Stream,
    simulate,
)
from tritongen.tune.search.measurement_records import History, LoadReading, Task, TaskRecord
from tritongen.tune.search.objective import Objective, Performance
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.tuner import Tuner

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class Profile:
    """A hidden model.

    Attributes:
        name: for the cache of truths.
        first_s: execution of one row on one thread.
        batch: (rows, time relative to one row).
        threads: (threads, time relative to one thread); others by the nearest.
        contention: slow-down when all other cores are busy.
        front_end_s: cost of a request on the cores.
        transport_s: latency that costs no core.
        cv: scatter of executions.
        quirk: greatest deviation of a configuration from all this, as a share.
        idle_penalty: how much longer the first execution after a rest takes, as a share.
        wake_s: more of `front_end_s` at rates, for requests that find the front end idle.
        pauses: moments in which nothing runs.
        without_arena: time of an execution without the memory arena, relative to one with it.
    """

    name: str
    first_s: float
    batch: tuple[tuple[int, float], ...]
    threads: tuple[tuple[int, float], ...]
    contention: float = 0.1
    front_end_s: float = 0.0001
    transport_s: float = 0.0003
    cv: float = 0.08
    quirk: float = 0.03
    without_arena: float = 1.0
    idle_penalty: float = 0.0
    wake_s: float = 0.0
    pauses: Pauses | None = None


CONVNET = Profile(
    "convnet", 0.008, ((1, 1.0), (8, 7.9), (32, 32.0)), ((1, 1.0), (2, 0.58), (4, 0.40)), 0.15
)
TEXT = Profile(
    "text", 0.006, ((1, 1.0), (4, 2.6), (8, 4.9), (32, 19.0)), ((1, 1.0), (2, 0.62), (4, 0.45))
)
TREES = Profile(
    "trees", 0.0012, ((1, 1.0), (8, 1.9), (32, 5.2)), ((1, 1.0), (2, 0.95), (4, 0.93)), 0.05
)
# Memory-bound: instances fight for the bandwidth, one team of threads shares the weights.
WIDE = Profile(
    "wide", 0.030, ((1, 1.0), (8, 8.0), (32, 32.0)), ((1, 1.0), (2, 0.52), (4, 0.27)), 0.9
)
# Ten microseconds of execution behind a front end that needs twelve times as much of a core: the
# cores are busy with requests, and neither instances nor threads help.
TINY = Profile(
    "tiny",
    0.00001,
    ((1, 1.0), (8, 1.4), (32, 2.4)),
    ((1, 1.0), (2, 1.3), (4, 1.6)),
    front_end_s=0.00012,
    cv=0.3,
)
PROFILES = (CONVNET, TEXT, TREES, WIDE, TINY)

_TRUTHS: dict[tuple[object, ...], SimulatedModel] = {}


def truth(
    profile: Profile, cores: float, candidate: Candidate, load: ClosedLoop | OpenLoop, rows: int = 1
) -> SimulatedModel:
    """What a configuration really does, free of noise."""
    key = (profile, cores, candidate, load, rows)
    if key not in _TRUTHS:
        model = ServedModel(
            "m",
            _service(profile, cores, candidate),
            load,
            candidate.instances,
            candidate.threads_per_instance,
            candidate.max_batch_size,
            candidate.queue_delay_s,
            rows=(rows,),
            transport_s=profile.transport_s,
        )
        front = FrontEnd(profile.front_end_s, wake_s=profile.wake_s)
        server = Server((model,), cores, front, pauses=profile.pauses)
        found = computed_once(
            f"truth of {key}", lambda: asdict(simulate(server, seed=77, requests=3_000).of("m"))
        )
        latencies = tuple(found.pop("latencies_s"))
        _TRUTHS[key] = SimulatedModel(**found, latencies_s=latencies)
    return _TRUTHS[key]


def _service(profile: Profile, cores: float, candidate: Candidate) -> ServiceTimes:
    # Merging has no part in the quirk: a batcher that never merges must not seem to matter.
    label = f"{profile.name} {candidate.instances}x{candidate.threads}"
    quirk = 1.0 + profile.quirk * (2.0 * Stream(1).child(label).uniform() - 1.0)
    quirk *= 1.0 if candidate.arena else profile.without_arena
    points = tuple(
        ServicePoint(rows, threads, profile.first_s * share * scale * quirk, cv=profile.cv)
        for rows, share in profile.batch
        for threads, scale in profile.threads
    )
    return ServiceTimes(
        points, cores, contention=profile.contention, idle_penalty=profile.idle_penalty
    )


def true_outcome(
    profile: Profile,
    cores: float,
    objective: Objective,
    candidate: Candidate,
    load: ClosedLoop | OpenLoop,
) -> Performance:
    """The truth as an objective ranks it."""
    figures = truth(profile, cores, candidate, load)
    return Performance(
        figures.throughput_per_s,
        figures.latency_s(objective.percentile),
        candidate.total_threads,
    )


def exhaustive_best(
    profile: Profile,
    cores: float,
    objective: Objective,
    candidates: Iterable[Candidate],
    loads: Iterable[ClosedLoop | OpenLoop],
) -> Performance:
    """The best outcome over every configuration and load."""
    levels = tuple(loads)
    return min(
        (
            true_outcome(profile, cores, objective, candidate, load)
            for candidate in candidates
            for load in levels
        ),
        key=objective.rank,
    )


@dataclass
class SyntheticTriton:
    """Measures tasks on a simulated clock.

    Attributes:
        profile: the hidden model.
        cores: of the container.
        seed: of noise and drift.
        noise: scatter of one measurement, as a share.
        drift: slow swing of the machine's speed, as a share.
        switch_s: time to load another configuration.
        now_s: the simulated clock.
    """

    profile: Profile
    cores: float
    seed: int
    noise: float = 0.07
    drift: float = 0.10
    switch_s: float = 0.5
    now_s: float = 0.0
    _stream: Stream = field(init=False)

    def __post_init__(self) -> None:
        self._stream = Stream(self.seed).child("machine")

    def measure(self, task: Task) -> TaskRecord:
        """Loads the configuration and measures it; the clock moves on."""
        begun = self.now_s
        self.now_s += self.switch_s + task.seconds
        figures = truth(self.profile, self.cores, task.candidate, task.load, task.rows)
        return TaskRecord(task, self._reading(figures, task), begun, self.now_s)

    def _reading(self, figures: SimulatedModel, task: Task) -> LoadReading:
        # Noise depends on the moment and the configuration, not on how many came before.
        stream = self._stream.child(f"{self.now_s:.3f} {task.candidate.key}")
        phase = 2.0 * math.pi * Stream(self.seed).child("phase").uniform()
        speed = 1.0 + self.drift * math.sin(2.0 * math.pi * self.now_s / 90.0 + phase)
        slow = stream.lognormal(self.noise) / speed
        open_loop = isinstance(task.load, OpenLoop)
        throughput = figures.throughput_per_s if open_loop else figures.throughput_per_s / slow
        served = throughput * stream.lognormal(0.01)
        tail = stream.lognormal(0.5 * self.noise)
        return LoadReading(
            throughput_per_s=served,
            latencies_s=tuple(
                (p, figures.latency_s(p) * slow * (tail if p > 90.0 else 1.0)) for p in PERCENTILES
            ),
            requests=max(1, round(served * task.seconds)),
            mean_batch=figures.mean_batch,
            execution_s=figures.mean_execution_s * slow,
            saturated=open_loop and figures.unfinished > 200,
        )


def run_tuning(tuner: Tuner, triton: SyntheticTriton) -> History:
    """Measures what the tuner asks for until it is done."""
    while (step := tuner.next() or tuner.pairs()) is not None:
        for task in step.tasks:
            tuner.take(triton.measure(task))
    return tuner.history
