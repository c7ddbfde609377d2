"""The rule by which waiting requests become a batch."""

import pytest

from tritongen.errors import InvalidInputError
from tritongen.queueing import Batcher, QueueLimit
from tritongen.queueing.batcher import form_batch


def form(rows, age=0.0, held=0, sizes=(8,), most=8, delay=0.0):
    formed = form_batch(rows, age, held, sizes, most, delay)
    return formed.count, formed.saturated


def test_without_a_delay_what_waits_is_taken_at_once():
    assert form([1, 1, 1]) == (3, False)


def test_a_full_batch_is_complete():
    assert form([1] * 12) == (8, True)
    assert form([3, 3, 3], delay=1.0) == (2, True)


def test_with_a_delay_a_small_batch_waits_for_the_oldest_request():
    waiting = form_batch([1, 1], 0.002, 0, (8,), 8, 0.005)
    assert waiting.count == 0
    assert waiting.wait_s == pytest.approx(0.003)
    assert form([1, 1], age=0.005, delay=0.005) == (2, False)


def test_the_largest_preferred_size_that_is_reached_is_taken():
    assert form([1] * 3, sizes=(2, 4)) == (2, True)
    assert form([1] * 7, sizes=(2, 4)) == (4, True)
    assert form([1] * 3, sizes=(2, 4), delay=1.0) == (2, False)


def test_a_batch_on_its_way_takes_what_came_since():
    assert form([1, 1], held=3) == (2, False)
    assert form([1], held=3, delay=1.0) == (1, False)
    assert form([1], held=7) == (1, True)


def test_a_batch_of_a_preferred_size_closes_when_it_would_pass_the_greatest():
    assert form([1, 1], held=4, sizes=(4,), delay=1.0) == (1, True)


def test_sizes_default_to_the_greatest_batch():
    assert Batcher().sizes(16) == (16,)
    assert Batcher(preferred=(8, 4)).sizes(16) == (4, 8)


def test_batches_are_formed_ahead_only_without_limits_and_priorities():
    assert Batcher().prefetches
    assert not Batcher(limit=QueueLimit(max_size=10)).prefetches
    assert not Batcher(priority_levels=2).prefetches


def test_nonsense_is_refused():
    with pytest.raises(InvalidInputError):
        Batcher(delay_s=-1.0)
