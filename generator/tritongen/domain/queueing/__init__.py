"""Queueing: closed forms, service times and a simulation of Triton's scheduler.

Everything is in seconds, requests and rows; chance comes from a seed, and there is no clock.
"""

from tritongen.domain.queueing.batcher import Batcher, QueueLimit, TimeoutAction
from tritongen.domain.queueing.load import ClosedLoop, Load, OpenLoop, Trace
from tritongen.domain.queueing.rates import (
    OperatingCurve,
    ProfileFigures,
    RateStep,
    StepFigures,
    operating_curve,
    simulate_rates,
)
from tritongen.domain.queueing.result import SimulatedModel, Simulation
from tritongen.domain.queueing.server import FrontEnd, ServedModel, Server, Stalls
from tritongen.domain.queueing.service import ServicePoint, ServiceTimes, Spread
from tritongen.domain.queueing.simulate import simulate
from tritongen.domain.queueing.stream import Stream

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
