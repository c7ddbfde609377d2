import pytest

from tritongen.model.variants import Accuracy
from tritongen.optimize.quantize.quantize_model import Found, exclude_until_accepted

RANKED = tuple(f"op{index}" for index in range(20))


def accuracy(*, accepted: bool) -> Accuracy:
    return Accuracy("top1", 1.0, 0.9, 0.1, 0.05, accepted=accepted, rows=10)


class Gate:
    """Accepts as soon as the lossiest `needed` operators are left out; counts its work."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.tried: list[int] = []

    def __call__(self, excluded: tuple[str, ...]) -> Accuracy:
        assert excluded == RANKED[: len(excluded)]
        self.tried.append(len(excluded))
        return accuracy(accepted=len(excluded) >= self.needed)


def search(gate: Gate, first: Accuracy, *, patience: int = 100) -> Found:
    return exclude_until_accepted(gate, first, RANKED, lambda: len(gate.tried) >= patience)


@pytest.mark.parametrize("needed", range(1, 11))
def test_as_few_as_the_gate_allows(needed: int) -> None:
    gate = Gate(needed)
    found = search(gate, accuracy(accepted=False))
    assert found.excluded == RANKED[:needed]
    assert found.accuracy.accepted
    assert len(gate.tried) <= 8
    assert len(set(gate.tried)) == len(gate.tried)


def test_nothing_is_left_out_when_the_gate_holds_already() -> None:
    gate = Gate(0)
    assert search(gate, accuracy(accepted=True)).excluded == ()
    assert gate.tried == []


def test_more_than_half_is_not_worth_it() -> None:
    gate = Gate(11)
    found = search(gate, accuracy(accepted=False))
    assert found == Found((), accuracy(accepted=False))
    assert max(gate.tried) == 10


def test_when_the_time_is_over_the_best_so_far_counts() -> None:
    found = search(Gate(5), accuracy(accepted=False), patience=4)
    assert found.excluded == RANKED[:8]
    assert not search(Gate(5), accuracy(accepted=False), patience=2).excluded


def test_few_operators() -> None:
    gate = Gate(1)
    found = exclude_until_accepted(gate, accuracy(accepted=False), RANKED[:1], lambda: False)
    assert found.excluded == ()
    assert gate.tried == []
