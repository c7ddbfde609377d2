"""What Triton's dynamic batcher is told, and the rule by which it forms a batch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from tritongen.errors import InvalidInputError


class TimeoutAction(StrEnum):
    """What happens to a request whose time-out has passed while it waited."""

    REJECT = "REJECT"
    DELAY = "DELAY"


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """Limits of one queue (a `ModelQueuePolicy`).

    Attributes:
        timeout_s: a request that waited longer is rejected or put last; 0 means never.
        action: which of the two.
        max_size: requests that find so many waiting are rejected at once; 0 means no limit.
    """

    timeout_s: float = 0.0
    action: TimeoutAction = TimeoutAction.REJECT
    max_size: int = 0

    @property
    def unlimited(self) -> bool:
        """Whether nothing is ever rejected or put last."""
        return self.timeout_s <= 0.0 and self.max_size <= 0


@dataclass(frozen=True, slots=True)
class Batcher:
    """Settings of the dynamic batcher (`ModelDynamicBatching`).

    Attributes:
        preferred: batch sizes to aim at; empty means the greatest one only.
        delay_s: how long the oldest request may wait for company.
        priority_levels: number of priorities, 1 the most urgent; 0 means one queue.
        default_priority: level of requests that state none.
        limit: of every queue without an entry in `limits`.
        limits: by priority level.
    """

    preferred: tuple[int, ...] = ()
    delay_s: float = 0.0
    priority_levels: int = 0
    default_priority: int = 0
    limit: QueueLimit = QueueLimit()
    limits: Mapping[int, QueueLimit] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.delay_s < 0.0 or any(size < 1 for size in self.preferred):
            raise InvalidInputError("TG304", f"not a dynamic batcher: {self}")

    @property
    def prefetches(self) -> bool:
        """Whether batches are formed before an instance is free.

        Triton does so as long as no queue policy could still remove or reorder requests.
        """
        return self.priority_levels == 0 and self.limit.unlimited

    def sizes(self, max_batch_size: int) -> tuple[int, ...]:
        """Preferred sizes, ascending; Triton fills in the greatest batch where none is given."""
        return tuple(sorted(set(self.preferred))) or (max(1, max_batch_size),)

    def limit_of(self, priority: int) -> QueueLimit:
        """The limits of one priority level."""
        return self.limits.get(priority, self.limit)


@dataclass(frozen=True, slots=True)
class Formed:
    """What the rule decides.

    Attributes:
        count: requests to take from the head of the queue, 0 to wait.
        saturated: the batch is complete and must not grow.
        wait_s: seconds to wait before asking again, when nothing is taken.
    """

    count: int
    saturated: bool = False
    wait_s: float = math.inf


def form_batch(
    rows: Iterable[int],
    age_s: float,
    held: int,
    sizes: Sequence[int],
    max_batch_size: int,
    delay_s: float,
) -> Formed:
    """Decides how many waiting requests join a batch that holds `held` rows already.

    The rule of Triton's dynamic batch scheduler: the largest preferred size that the waiting
    requests reach is taken at once; a batch that cannot grow is taken at once; otherwise the
    oldest request may wait for `delay_s`, unless a batch that is already on its way can carry
    the others.

    Args:
        rows: rows of each waiting request, in order; not empty.
        age_s: how long the oldest of them has waited.
        held: rows in the batch that is being filled.
        sizes: preferred sizes, ascending, not empty.
        max_batch_size: greatest batch.
        delay_s: the queue delay.
    """
    greatest = sizes[-1]
    pending = count = best_count = 0
    marked = saturated = full = False
    for size in rows:
        if held + count > 0:
            total = held + pending + size
            if total > greatest and not marked:
                marked, best_count, saturated = pending > 0, count, True
            if total > max_batch_size:
                full = True
                break
        pending += size
        count += 1
        if held + pending in sizes:
            marked, best_count = True, count
    late = delay_s > 0.0 and age_s >= delay_s - 1e-12
    if marked and not late:
        return Formed(best_count, saturated or delay_s <= 0.0)
    if count == 0:
        return Formed(0, saturated=True, wait_s=0.0)
    if full or held + pending >= greatest:
        return Formed(count, saturated=True)
    if late or delay_s <= 0.0 or (held > 0 and held not in sizes):
        return Formed(count, saturated)
    return Formed(0, saturated, max(0.0, delay_s - age_s))
