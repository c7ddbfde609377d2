"""Load engines of the probe for a model that gives back what it is given."""

from pathlib import Path

import numpy as np

from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.engines.slot_engine import Engine
from tritongen.probe.load_engine import EngineOptions, LoadClient, clock_ns
from tritongen.probe.load_job import LoadJob, make_plan
from tritongen.probe.prober import make_engine
from tritongen.triton.address import Endpoint, Tls
from tritongen.triton.messages import Message, ModelMeta, TensorMeta, WireTensor
from tritongen.triton.statistics import ServedConfig

SECOND = 1_000_000_000


def job_of_rows(columns: int = 4) -> LoadJob:
    """Requests of one row of zeros for a model ``echo``."""
    meta = ModelMeta(
        "echo",
        ("1",),
        "",
        (TensorMeta("IN", "FP32", (-1, -1)),),
        (TensorMeta("OUT", "FP32", (-1, -1)),),
    )
    data = np.zeros((1, columns), dtype=np.float32).tobytes()
    message = Message(
        "echo", "", (WireTensor("IN", "FP32", (1, columns), data),), (("OUT", None),), {}
    )
    return LoadJob("echo", "", meta, ServedConfig("echo", 8), (message,))


def grpc_engine(
    port: int,
    *,
    columns: int = 4,
    streaming: bool = False,
    tls: Tls | None = None,
    client: LoadClient = LoadClient.AUTO,
    **options,
) -> Engine:
    endpoint = Endpoint("127.0.0.1", port, ClientProtocol.GRPC, tls, streaming)
    plan = make_plan(job_of_rows(columns), endpoint, client=client)
    return make_engine(endpoint, [plan], EngineOptions(**options))


def waited_s() -> float:
    """How long this thread could have run so far while others had the cores."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def run_level(engine: Engine, slots: int, seconds: float) -> None:
    """A closed loop against a server that may do anything, ended as a probe ends it."""
    engine.open(slots, closed=True)
    engine.start()
    for _ in range(4):
        engine.serve(clock_ns() + round(seconds / 4 * SECOND))
        engine.check_timeouts(clock_ns())
        engine.inspect()
    engine.stop_sending()
    engine.serve(clock_ns() + SECOND // 10)
    engine.cancel_outstanding()
