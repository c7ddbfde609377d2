"""Queueing: service times and a simulation of Triton's scheduler.

Everything is in seconds, requests and rows; chance comes from a seed, and there is no clock.
"""

from tritongen.queueing.batcher import Batcher, QueueLimit, TimeoutAction
from tritongen.queueing.load import ClosedLoop, Load, OpenLoop, Trace
from tritongen.queueing.random_stream import Stream
from tritongen.queueing.rate_profiles import (
    OperatingCurve,
    ProfileFigures,
    RateStep,
    StepFigures,
    operating_curve,
    simulate_rates,
)
from tritongen.queueing.service_times import ServicePoint, ServiceTimes, Spread
from tritongen.queueing.simulate import simulate
from tritongen.queueing.simulated_server import FrontEnd, ServedModel, Server, Stalls
from tritongen.queueing.simulation_result import SimulatedModel, Simulation

__all__ = [
    "Batcher",
    "ClosedLoop",
    "FrontEnd",
    "Load",
    "OpenLoop",
    "OperatingCurve",
    "ProfileFigures",
    "QueueLimit",
    "RateStep",
    "ServedModel",
    "Server",
    "ServicePoint",
    "ServiceTimes",
    "SimulatedModel",
    "Simulation",
    "Spread",
    "Stalls",
    "StepFigures",
    "Stream",
    "TimeoutAction",
    "Trace",
    "operating_curve",
    "simulate",
    "simulate_rates",
]
