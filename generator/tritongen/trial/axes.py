"""Which sizes of the open axes to try next, and what the answers say: nothing is run here.

A search yields sizes of all axes, by label, and is sent what came of them. Near sizes of every axis
come first, then larger ones by fours, then halves between what ran and what did not.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import combinations
from typing import TypeVar

from tritongen.model.evidence import AxisProof, AxisVerdict
from tritongen.model.intent import AxisIntent

T = TypeVar("T")
Sizes = Mapping[str, int]
# Chosen: beyond what most tables of positions hold; what takes too long is not run before that.
_FARTHEST = 4096
_STRIDE = 4
# More axes than this, none of which takes another size alone, are not tried two by two.
_MAX_PAIRED_AXES = 5


class Answer(Enum):
    """What came of some sizes."""

    RAN = "ran"
    REFUSED = "refused"
    NOT_RUN = "not run"


# With the runtime's words, or why nothing was run.
Reply = tuple[Answer, str]
Search = Generator[dict[str, int], Reply, T]
Proofs = dict[str, AxisProof]


def follow(search: Search[None], run: Callable[[dict[str, int]], Reply]) -> None:
    """Run what a search asks for, to its end."""
    try:
        sizes = next(search)
        while True:
            sizes = search.send(run(sizes))
    except StopIteration:
        return


def search_axes(first: Sizes, stated: Mapping[str, AxisIntent], found: Proofs) -> Search[None]:
    """Find out what holds for every axis.

    Args:
        first: a size of each axis, by its label, with which the model ran.
        stated: what the user says of some of them.
        found: takes verdict, bound and reason of each axis once they are known.
    """
    spans = {name: _Span((name,), first, stated.get(name, AxisIntent())) for name in first}
    for span in spans.values():
        yield from span.find_step()
    for name, span in spans.items():
        if span.step is not None:
            found[name] = yield from span.proof()
    stuck = [name for name in spans if name not in found and spans[name].replies]
    for names in _groups(stuck, first):
        known = {found[name].verdict for name in names if name in found}
        if known <= {AxisVerdict.UNTESTED} and not set(names) <= found.keys():
            said = [spans[name].stated for name in names]
            yield from _together(names, said, first, found)
    for name, span in spans.items():
        found.setdefault(name, span.fixed())


def _groups(stuck: Sequence[str], first: Sizes) -> Iterable[tuple[str, ...]]:
    """Which axes that take no other size alone to move together: pairs, those alike, all."""
    pairs = combinations(stuck, 2) if len(stuck) <= _MAX_PAIRED_AXES else ()
    alike = (tuple(n for n in stuck if first[n] == first[name]) for name in stuck)
    groups = dict.fromkeys((*pairs, *alike, tuple(stuck)))
    return (group for group in groups if len(group) > 1)


def _together(
    names: tuple[str, ...], said: Sequence[AxisIntent], first: Sizes, found: Proofs
) -> Search[None]:
    """Axes that take no other size alone, moved together."""
    if len({first[name] for name in names}) > 1:
        reply = yield {**first, **{name: first[name] + 1 for name in names}}
        if reply[0] is Answer.RAN:
            why = f"takes other sizes only together with {' and '.join(names)}"
            found |= dict.fromkeys(names, AxisProof(reason=why))
        return
    most = min((item.maximum for item in said if item.maximum), default=0)
    span = _Span(names, first, AxisIntent(max(item.minimum for item in said), 0, most))
    yield from span.find_step()
    if span.step is None:
        return
    proof = yield from span.proof()
    for name in names:
        other = names[1] if name == names[0] else names[0]
        why = f"must equal {other}; {proof.reason}"
        found[name] = replace(proof, verdict=AxisVerdict.EQUAL, bound=other, reason=why)
    if proof.verdict in {AxisVerdict.BOUNDED, AxisVerdict.MULTIPLE}:
        why = f"{proof.reason}; must equal {' and '.join(names[1:])}"
        found[names[0]] = replace(proof, reason=why)


@dataclass(slots=True)
class _Span:
    """The sizes of one axis, or of several that have the same.

    Attributes:
        names: labels.
        first: sizes of all axes.
        stated: by the user.
        step: between two sizes that run; None where no other size does, 0 where it is not known.
        replies: by size.
    """

    names: tuple[str, ...]
    first: Sizes
    stated: AxisIntent
    step: int | None = None
    replies: dict[int, Reply] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.first[self.names[0]]

    @property
    def _most(self) -> int:
        return self.stated.maximum or max(_FARTHEST, _STRIDE * self.size)

    def _ask(self, size: int) -> Search[Answer]:
        if size not in self.replies:
            self.replies[size] = yield {**self.first, **dict.fromkeys(self.names, size)}
        return self.replies[size][0]

    def find_step(self) -> Search[None]:
        """One more, the double, one less, the half: the first that runs; then its divisors."""
        size, half = self.size, self.size // 2
        # One is broadcast where another size would be refused, so it stands for no other.
        least = self.stated.minimum or 2
        others = (size + 1, 2 * size, size - 1, *([half] if size == 2 * half else []))
        for other in (item for item in others if least <= item <= self._most):
            answer = yield from self._ask(other)
            if answer is Answer.RAN:
                yield from self._divide(other - size)
            elif answer is Answer.NOT_RUN:
                self.step = 0
            if self.step is not None:
                return

    def _divide(self, away: int) -> Search[None]:
        parts = [n for n in range(2, abs(away) + 1) if away % n == 0]
        for prime in (n for n in parts if all(n % other for other in range(2, n))):
            while away % prime == 0:
                if (yield from self._ask(self.size + away // prime)) is not Answer.RAN:
                    break
                away //= prime
        self.step = abs(away)

    def proof(self) -> Search[AxisProof]:
        """What holds, once the step is known."""
        words = {size: said for size, (_, said) in self.replies.items()}
        if not self.step:
            return AxisProof(reason=f"no other size was run: {next(iter(words.values()))}")
        step = self.step
        most, refused = yield from self._reach(step)
        least = -(-self.stated.minimum // step) * step
        below = 0 < least < self.size and (yield from self._ask(least)) is Answer.REFUSED
        why = f"ran up to {most}"
        if refused is not None:
            why = f"{most} is the most that runs; {refused}: {self.replies[refused][1]}"
        elif unrun := [said for answer, said in self.replies.values() if answer is Answer.NOT_RUN]:
            why += f"; beyond, {unrun[0]}"
        if below:
            why += f"; {least} is refused: {self.replies[least][1]}"
        narrow = below or (refused is not None and self.stated.maximum > 0)
        if step > 1:
            why = f"only multiples of {step}; {why}"
            return AxisProof("", 0, "", AxisVerdict.MULTIPLE, step, (), why, narrow)
        if refused is None and not below:
            return AxisProof(verdict=AxisVerdict.FREE, reason=why)
        return AxisProof("", 0, "", AxisVerdict.BOUNDED, most, (), why, narrow)

    def _reach(self, step: int) -> Search[tuple[int, int | None]]:
        """The greatest size that ran, and the smallest above it that did not, if any did not."""
        while True:
            known = [(n, answer) for n, (answer, _) in self.replies.items() if n % step == 0]
            low = max([self.size, *(n for n, answer in known if answer is Answer.RAN)])
            refused = [n for n, answer in known if answer is Answer.REFUSED and n > low]
            high, farthest = min(refused, default=None), self._most - self._most % step
            if (low >= farthest) if high is None else (high - low <= step):
                return low, high
            if high is not None:
                size = _between(low, high, step)
            else:
                rung = min(_STRIDE << low.bit_length() - 1, farthest)
                size = max(low + step, rung - rung % step)
            if (yield from self._ask(size)) is Answer.NOT_RUN:
                return low, high

    def fixed(self) -> AxisProof:
        """What holds where no other size runs, alone or with others."""
        words = next((said for _, said in self.replies.values()), "")
        why = f"tritongen.yaml states {self.size} as its only size"
        if words:
            why = f"no size but {self.size} runs: {words}"
        return AxisProof("", 0, "", AxisVerdict.FIXED, self.size, (), why, narrow=bool(words))


def _between(low: int, high: int, step: int) -> int:
    """A power of two, which most bounds are, and the next size; else the middle."""
    power = 1 << (high - 1).bit_length() - 1
    if power > low and power % step == 0:
        return power
    if low & (low - 1) == 0:
        return low + step
    return low + max(1, (high - low) // step // 2) * step
