"""Queueing: service times and a simulation of Triton's scheduler.

Everything is in seconds, requests and rows; chance comes from a seed, and there is no clock.
"""

from tritongen.queueing.load import ClosedLoop, LoadKind, Loop, OpenLoop, Pacing
from tritongen.queueing.random_stream import Stream
from tritongen.queueing.rate_profiles import (
    OperatingCurve,
    RateStep,
    simulate_rates,
)
from tritongen.queueing.service_times import ServicePoint, ServiceTimes, trial_points
from tritongen.queueing.simulate import simulate
from tritongen.queueing.simulated_server import (
    FrontEnd,
    Pauses,
    ServedModel,
    Server,
    SimulatedModel,
)

__all__ = [
    "ClosedLoop",
    "FrontEnd",
    "LoadKind",
    "Loop",
    "OpenLoop",
    "OperatingCurve",
    "Pacing",
    "Pauses",
    "RateStep",
    "ServedModel",
    "Server",
    "ServicePoint",
    "ServiceTimes",
    "SimulatedModel",
    "Stream",
    "simulate",
    "simulate_rates",
    "trial_points",
]
