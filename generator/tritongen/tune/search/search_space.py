"""The search space: configurations that obey the thread rule, and no others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from tritongen.errors import InvalidInputError
from tritongen.model.backends import BackendRules, BatchSupport
from tritongen.model.counting import counted
from tritongen.model.evidence import Tuned

# Rows of a batch that are considered: chosen, beyond it CPUs gain next to nothing.
DEFAULT_MAX_BATCH = 32
# Wide machines: thread counts beyond these add candidates, not choices.
_THREADS: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
# Queue delays are kept to steps that a person would write.
_DELAY_STEP_US = 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration of one model.

    Attributes:
        instances: instance count.
        threads: intra-op threads of each instance.
        max_batch_size: greatest batch, 0 for none.
        queue_delay_us: of the dynamic batcher, None when it is off.
        inter_op: operators that run side by side; 1 means in sequence.
        arena: whether the backend's memory arena is on.
    """

    instances: int
    threads: int
    max_batch_size: int = 0
    queue_delay_us: int | None = None
    inter_op: int = 1
    arena: bool = True

    def __post_init__(self) -> None:
        sound = min(self.instances, self.threads, self.inter_op) >= 1 and self.max_batch_size >= 0
        if not sound or (self.queue_delay_us is not None and self.queue_delay_us < 0):
            raise InvalidInputError("TG304", f"not a configuration: {self}")

    @property
    def threads_per_instance(self) -> int:
        """Threads that one execution keeps busy: the caller belongs to both pools."""
        return self.threads + self.inter_op - 1

    @property
    def total_threads(self) -> int:
        """Threads that all instances keep busy: what is held against the cores."""
        return self.instances * self.threads_per_instance

    @property
    def batches(self) -> bool:
        """Whether requests are merged."""
        return self.queue_delay_us is not None and self.max_batch_size > 1

    @property
    def queue_delay_s(self) -> float | None:
        """How long a request waits for others, seconds; None where none are merged."""
        return (self.queue_delay_us or 0) * 1e-6 if self.batches else None

    @property
    def split(self) -> tuple[int, int, int, bool]:
        """How the cores are used: what decides the speed of an execution."""
        return self.instances, self.threads, self.inter_op, self.arena

    @property
    def simplicity(self) -> tuple[int, ...]:
        """Ties go to the least: fewer threads, smaller batch, no delay, fewer instances."""
        return (
            self.total_threads,
            self.max_batch_size if self.batches else 1,
            self.queue_delay_us or 0,
            self.instances,
            self.inter_op,
            0 if self.arena else 1,
        )

    @property
    def key(self) -> str:
        """A short name: ``2x1 b8 d500``; ``i2`` for inter-op threads, ``-arena`` without one."""
        parts = [f"{self.instances}x{self.threads}"]
        if self.inter_op > 1:
            parts.append(f"i{self.inter_op}")
        if self.max_batch_size:
            parts.append(f"b{self.max_batch_size}")
        if self.queue_delay_us is not None:
            parts.append(f"d{self.queue_delay_us}")
        if not self.arena:
            parts.append("-arena")
        return " ".join(parts)

    @property
    def words(self) -> str:
        """The key for people: ``2 instances × 1 thread, batches of up to 8``."""
        parts = [f"{counted(self.instances, 'instance')} × {counted(self.threads, 'thread')}"]
        if self.inter_op > 1:
            parts.append(f"{self.inter_op} operators side by side")
        if self.batches:
            delay = f" within {self.queue_delay_us} µs" if self.queue_delay_us else ""
            parts.append(f"requests merged into batches of up to {self.max_batch_size}{delay}")
        elif self.max_batch_size > 1:
            parts.append(f"requests of up to {self.max_batch_size} rows, none merged")
        if not self.arena:
            parts.append("without the memory arena")
        return ", ".join(parts)

    def tuned(self, goal: str, numbers: dict[str, float], cores: int = 0, gpu: str = "") -> Tuned:
        """The choice as the lock records it, made for so many cores, or for a card."""
        return Tuned(goal=goal, numbers=numbers, cores=cores, gpu=gpu, **asdict(self))


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What may be chosen for one model.

    Attributes:
        backend: whose thread rule and parameters hold.
        cores: that the model may use; instances × threads never exceeds them.
        batchable: whether rows of different requests may share an execution.
        max_batch: greatest batch to consider.
        parallel: inter-op thread counts worth a try, for graphs with side branches; 1 is implied.
        arena_test: whether the winner is worth a try without the memory arena.
        delays_us: queue delays worth a try; 0 is implied.
        request_rows: rows that clients send at most; smaller batches could not serve them.
        max_instances: limit by memory, None for none.
        client_rows: rows that a request may bring whatever is chosen, for a model whose batch axis
            is to stay; 0 leaves its full shape where requests are not merged.
        fixed_instances: the user's own count, None for any.
        fixed_threads: the user's own threads an instance, None for any.
    """

    backend: BackendRules
    cores: int
    batchable: bool
    max_batch: int = DEFAULT_MAX_BATCH
    parallel: tuple[int, ...] = ()
    arena_test: bool = False
    delays_us: tuple[int, ...] = ()
    request_rows: int = 1
    max_instances: int | None = None
    client_rows: int = 0
    fixed_instances: int | None = None
    fixed_threads: int | None = None

    def __post_init__(self) -> None:
        if self.cores < 1 or self.max_batch < 1 or self.request_rows < 1:
            raise InvalidInputError("TG304", f"not a search space: {self}")
        if not self.splits():
            raise InvalidInputError(
                "TG305",
                f"{self.fixed_instances or 1} instances of {self.fixed_threads or 1} threads do "
                f"not fit {self.cores} cores",
            )

    @property
    def merges(self) -> bool:
        """Whether the dynamic batcher is a choice: not where every execution must be full."""
        return self.batchable and self.backend.batching is not BatchSupport.EXACT

    @property
    def unmerged(self) -> int:
        """max_batch_size without merging: 0, or what the clients' own rows and the backend need."""
        needed = self.backend.batching is BatchSupport.REQUIRED or self.request_rows > 1
        return max(self.request_rows if needed else 0, self.client_rows)

    @property
    def one_thread_each(self) -> Candidate:
        """The plain configuration that fits most models: an instance on each core, no merging."""
        threads = min(threads for _, threads in self.splits())
        instances = max(count for count, each in self.splits() if each == threads)
        return Candidate(instances, threads, self.unmerged)

    def splits(self) -> tuple[tuple[int, int], ...]:
        """(instances, threads), all with instances × threads ≤ cores, fewest instances first."""
        limit = min(self.cores, self.max_instances or self.cores)
        found = [
            (instances, threads)
            for threads in self._thread_counts()
            for instances in self._instance_counts(min(limit, self.cores // threads))
        ]
        return tuple(sorted(found))

    def batching(self) -> tuple[tuple[int, int | None], ...]:
        """(max_batch_size, queue delay or None), no merging first.

        A model with a batch axis keeps it even where merging is off when its clients send
        several rows at once.
        """
        plain = ((self.unmerged, None),)
        if not self.merges:
            return plain
        powers = (2**power for power in range(1, self.max_batch.bit_length()))
        least = max(self.request_rows + 1, self.client_rows)
        sizes = [size for size in powers if size >= least]
        delays = sorted({0, *self.delays_us})
        return (*plain, *((size, delay) for size in sizes for delay in delays))

    def candidates(self) -> tuple[Candidate, ...]:
        """Every legal configuration, simplest first."""
        found = [
            Candidate(instances, threads, size, delay, inter)
            for instances, threads in self.splits()
            for size, delay in self.batching()
            for inter in self._inter_counts()
            if instances * (threads + inter - 1) <= self.cores
        ]
        return tuple(sorted(found, key=lambda candidate: candidate.simplicity))

    def neighbours(self, candidate: Candidate) -> tuple[Candidate, ...]:
        """Legal configurations one step away in a single choice, or with another split."""
        near = set()
        for instances, threads in self.splits():
            if instances in _around(candidate.instances) and threads in _around(candidate.threads):
                near.add(replace(candidate, instances=instances, threads=threads))
        batching = self.batching()
        now = (candidate.max_batch_size, candidate.queue_delay_us)
        for size, delay in batching:
            near_size = max(1, size) in _around(max(1, now[0]))
            if (near_size and (delay or 0) == (now[1] or 0)) or size == now[0]:
                near.add(replace(candidate, max_batch_size=size, queue_delay_us=delay))
        near |= {replace(candidate, inter_op=inter) for inter in self._inter_counts()}
        near.add(replace(candidate, arena=True))
        near.discard(candidate)
        legal = (other for other in near if other.total_threads <= self.cores)
        return tuple(sorted(legal, key=lambda other: other.simplicity))

    def without_arena(self, winner: Candidate) -> Candidate | None:
        """What is offered to the winner alone, since it rarely matters; None for nothing.

        Such a choice in the grid would double it.
        """
        return replace(winner, arena=False) if self.arena_test and winner.arena else None

    def with_delays(self, delays_us: Sequence[int]) -> "SearchSpace":
        """The same space with other queue delays."""
        return replace(self, delays_us=tuple(delays_us))

    def _instance_counts(self, most: int) -> tuple[int, ...]:
        if self.fixed_instances is None:
            return _counts(most)
        return (self.fixed_instances,) if self.fixed_instances <= most else ()

    def _thread_counts(self) -> tuple[int, ...]:
        if self.fixed_threads is not None:
            return (self.fixed_threads,)
        rule = self.backend.threads
        if not rule.intra_key and not rule.environment:
            return (1,)
        listed = {count for count in _THREADS if count <= self.cores} | {self.cores}
        return tuple(sorted(listed))

    def _inter_counts(self) -> tuple[int, ...]:
        rule = self.backend.threads
        if not rule.inter_key or not rule.mode_key:
            return (1,)
        return tuple(sorted({1, *(count for count in self.parallel if count > 1)}))


def delay_choices(service_s: float, limit_s: float | None = None) -> tuple[int, ...]:
    """Queue delays worth a try: half an execution and two of them, below half the latency limit.

    Args:
        service_s: time of an execution of one row.
        limit_s: latency goal, None for none.

    Returns:
        Microseconds, without 0.
    """
    found = set()
    for factor in (0.5, 2.0):
        delay_s = factor * service_s
        if limit_s is None or delay_s <= 0.5 * limit_s:
            found.add(max(_DELAY_STEP_US, round(delay_s * 1e6 / _DELAY_STEP_US) * _DELAY_STEP_US))
    return tuple(sorted(found))


def _counts(most: int) -> tuple[int, ...]:
    """Instance counts up to `most`: all small ones, then steps that still matter."""
    return tuple(
        count for count in range(1, most + 1) if count <= 8 or count in _THREADS or count == most
    )


def _around(value: int) -> range:
    """A value's neighbourhood: one step of a doubling to either side."""
    return range(max(1, value // 2), 2 * value + 1)
