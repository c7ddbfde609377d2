"""Limits of a child in which a model runs."""

import os

from tritongen.trial.child_request import Limits


def test_cpu_time_is_enough_for_every_thread_until_the_clock_stops_the_child():
    limits = Limits.of_child(timeout_s=10.5, time_budget_s=1.0, threads=3, address_space=0)
    # Two threads beside those that compute, and ten seconds to start.
    assert limits.cpu_s == 63
    assert (limits.timeout_s, limits.time_budget_s) == (10.5, 1.0)
    assert limits.parent == os.getpid()
    assert limits.writable == ()
