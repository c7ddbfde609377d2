"""Which operators to leave as they are: as few as the gate allows, the lossiest first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tritongen.model.variants import Accuracy

# With more than this share of the operators left out there is nothing to gain.
MAX_EXCLUDED_SHARE = 0.5

Evaluate = Callable[[tuple[str, ...]], Accuracy]


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a search.

    Attributes:
        excluded: operators left as they are.
        accuracy: with them left out.
    """

    excluded: tuple[str, ...]
    accuracy: Accuracy


def exclude_until_accepted(
    evaluate: Evaluate, first: Accuracy, ranked: Sequence[str], expired: Callable[[], bool]
) -> Found:
    """Leave out 1, 2, 4, … of the lossiest operators until the gate holds, then as few as do.

    Args:
        evaluate: the accuracy with these operators left out.
        first: the accuracy with none left out.
        ranked: operators, the lossiest first.
        expired: whether the time is over.

    Returns:
        The fewest that were found to do; nothing left out and `first` when none did.
    """
    most = int(len(ranked) * MAX_EXCLUDED_SHARE)
    if first.accepted or not first.rows:
        return Found((), first)
    failed, count = 0, 1
    best: Found | None = None
    while count <= most and not expired():
        accuracy = evaluate(tuple(ranked[:count]))
        if accuracy.accepted:
            best = Found(tuple(ranked[:count]), accuracy)
            break
        failed = count
        count = most if count < most < 2 * count else 2 * count
    while best is not None and len(best.excluded) - failed > 1 and not expired():
        middle = (failed + len(best.excluded)) // 2
        accuracy = evaluate(tuple(ranked[:middle]))
        if accuracy.accepted:
            best = Found(tuple(ranked[:middle]), accuracy)
        else:
            failed = middle
    return best or Found((), first)
