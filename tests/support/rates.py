"""What a simulated server does at rates, and the calibration that follows from measuring it."""

from tritongen.queueing import (
    FrontEnd,
    OpenLoop,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    simulate,
)
from tritongen.tune.search.measurement_records import LoadReading, Purpose, Task
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.server_model import Calibration, at_rates

SERVICE = ServiceTimes((ServicePoint(1, 1, 0.0002, cv=0.1), ServicePoint(32, 1, 0.0006)), 1.0)


CALIBRATION = Calibration(SERVICE, front_end_s=0.00006, transport_s=0.00004)


MERGED = Candidate(1, 1, 16, 0)


# Of some 12,000 a second in closed loops: what calibration measures, and what it does not.
MEASURED, ELSEWHERE = (1_700.0, 8_500.0), (3_000.0, 5_000.0, 7_000.0)


PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


def hidden(rate, wake_s=0.0, pauses=None, slower=1.0, seed=9, requests=40_000):
    """What a server does at a rate that the closed loops know nothing of."""
    model = ServedModel(
        "m",
        SERVICE.scaled(slower),
        OpenLoop(rate),
        max_batch_size=16,
        queue_delay_s=0.0,
        transport_s=CALIBRATION.transport_s,
    )
    front = FrontEnd(CALIBRATION.front_end_s * slower, wake_s=wake_s)
    server = Server((model,), 1.0, front, pauses=pauses)
    return simulate(server, seed=seed, requests=requests).of("m")


def usable(rate, **what):
    found = hidden(rate, **what)
    reading = LoadReading(
        rate,
        tuple((p, found.latency_s(p)) for p in PERCENTILES),
        20_000,
        mean_batch=found.mean_batch,
        execution_s=found.mean_execution_s,
    )
    return Task(MERGED, OpenLoop(rate), Purpose.CALIBRATE, 0, 2.0), reading


def fitted(**what):
    return at_rates(CALIBRATION, [usable(rate, **what) for rate in MEASURED])
