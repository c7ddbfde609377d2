"""States of sequences are kept by correlation id, and no more of them than can be alive."""

import numpy as np
import pytest

from tritongen.serving.backends.common.python_backends.states import (
    END,
    START,
    StateKeeper,
    sequences_of,
)


def keeper(sequences=1):
    return StateKeeper({"h": "h_out"}, sequences)


def new(number):
    return {"h_out": np.full((1, 2), number, np.float32)}


def test_a_sequence_goes_on_from_its_own_state():
    states = keeper()
    assert states.outputs == ("h_out",)
    for identity in (1, "a"):
        assert states.carried(identity, START) == {}
        states.update(identity, START, new(1))
        assert states.carried(identity, 0)["h"].tolist() == [[1.0, 1.0]]
    states.update(1, 0, new(2))
    assert states.carried(1, 0)["h"].tolist() == [[2.0, 2.0]]
    assert states.carried("a", 0)["h"].tolist() == [[1.0, 1.0]]
    states.update(1, END, new(3))
    assert states.carried(1, 0) == {}
    assert len(states) == 1


def test_a_start_in_the_middle_forgets_what_was():
    states = keeper()
    states.update(1, START, new(1))
    assert states.carried(1, START) == {}
    states.update(1, START | END, new(2))
    assert len(states) == 0


def test_requests_of_no_sequence_leave_nothing():
    states = keeper()
    states.update(0, 0, new(1))  # the core's filler for a slot that waits
    states.update(7, 0, new(1))  # never begun
    states.update("", START, new(1))
    assert len(states) == 0


def test_a_state_owns_its_memory():
    states = keeper()
    batch = np.zeros((4, 2), np.float32)
    states.update(1, START, {"h_out": batch[1:2]})
    assert states.carried(1, 0)["h"].base is None


def test_sequences_that_are_never_ended_do_not_pile_up():
    states = keeper(sequences=10)
    for identity in range(1, 1000):
        states.update(identity, START, new(identity))
        states.update(identity, 0, new(identity))
    assert len(states) == 20
    assert states.carried(999, 0)["h"][0, 0] == 999
    assert states.carried(900, 0) == {}


@pytest.mark.parametrize(
    ("batcher", "batch", "sequences"),
    [
        ({"oldest": {"max_candidate_sequences": 7}}, 4, 7),
        ({"oldest": {}}, 4, 4),
        ({"direct": {}}, 0, 1),
        ({}, 8, 8),
    ],
)
def test_sequences_of_an_instance_as_the_core_counts_them(batcher, batch, sequences):
    config = {"sequence_batching": batcher, "max_batch_size": batch}
    assert sequences_of(config) == sequences
