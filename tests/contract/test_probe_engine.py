"""One suite for every load engine, on synthetic servers and on a real Triton."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from support.synthetic_grpc import GrpcBehaviour, synthetic_grpc
from support.synthetic_server import Behaviour, synthetic_server
from support.triton import start_server, write_model
from tritongen.errors import EnvironmentProblem
from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.engines.slot_engine import Engine
from tritongen.probe.generator import Generator
from tritongen.probe.level import Conditions, run_load
from tritongen.probe.load_engine import EngineOptions, LoadClient, clock_ns
from tritongen.probe.load_job import LoadJob, make_plan
from tritongen.probe.prober import check_targets, make_engine
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.triton.address import Endpoint, Tls
from tritongen.triton.messages import Message, ModelMeta, TensorMeta, WireTensor
from tritongen.triton.statistics import ServedConfig

SECOND = 1_000_000_000
CONFIG = """
name: "echo"
backend: "python"
max_batch_size: 8
input [{ name: "IN" data_type: TYPE_FP32 dims: [-1] }]
output [{ name: "OUT" data_type: TYPE_FP32 dims: [-1] }]
instance_group [{ count: 1 kind: KIND_CPU }]
"""
MODEL = b"""
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(r, "IN").as_numpy())]
            )
            for r in requests
        ]
"""


@dataclass(frozen=True)
class Served:
    """Where a model ``echo`` is served, how it is spoken to, and by what."""

    endpoint: Endpoint
    client: LoadClient = LoadClient.AUTO

    def job(
        self, columns: int = 4, count: int = 5, *, expect: bool = False, wrong: bool = False
    ) -> LoadJob:
        tensors = (TensorMeta("IN", "FP32", (-1, -1)),)
        meta = ModelMeta("echo", ("1",), "python", tensors, (TensorMeta("OUT", "FP32", (-1, -1)),))
        messages = []
        for index in range(count):
            data = np.full((1, columns), index, dtype=np.float32).tobytes()
            expected = {"OUT": data[:-1] + b"!" if wrong else data} if expect else {}
            tensor = WireTensor("IN", "FP32", (1, columns), data)
            messages.append(Message("echo", "", (tensor,), (("OUT", None),), expected))
        return LoadJob("echo", "", meta, ServedConfig("echo", 8), tuple(messages))

    def engine(self, job: LoadJob | None = None, **options: object) -> Engine:
        plans = [make_plan(job or self.job(), self.endpoint, client=self.client)]
        return make_engine(self.endpoint, plans, EngineOptions(**options))


@pytest.fixture(scope="module")
def triton(embedded_runtime, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engines")
    repository = folder / "repository"
    write_model(repository, "echo", CONFIG, {"1/model.py": MODEL})
    with start_server(repository, folder / "project", runtime=embedded_runtime) as server:
        yield server.server.endpoints


# Streams are sent by tritonclient alone.
KINDS = ("http", "grpc", "stream", "http tritonclient", "grpc tritonclient")


def client_of(kind: str) -> LoadClient:
    return LoadClient.TRITONCLIENT if kind.endswith("tritonclient") else LoadClient.AUTO


def protocol_of(kind: str) -> ClientProtocol:
    return ClientProtocol.HTTP if "http" in kind else ClientProtocol.GRPC


@pytest.fixture(
    params=[
        *(f"synthetic {kind}" for kind in KINDS),
        *(pytest.param(kind, marks=pytest.mark.real) for kind in KINDS),
    ]
)
def served(request, tmp_path) -> Iterator[Served]:
    kind = request.param
    protocol, client, streaming = protocol_of(kind), client_of(kind), "stream" in kind
    if not kind.startswith("synthetic"):
        ends = request.getfixturevalue("triton")
        url = ends.http if protocol is ClientProtocol.HTTP else ends.grpc
        found = Endpoint.parse(url, protocol=protocol)
        yield Served(replace(found, streaming=streaming), client)
        return
    if protocol is ClientProtocol.HTTP:
        context = synthetic_server(Behaviour(latency_s=0.001), tmp_path)
    else:
        context = synthetic_grpc(GrpcBehaviour(latency_s=0.001))
    with context as server:
        yield Served(Endpoint("127.0.0.1", server.port, protocol, streaming=streaming), client)


def run_closed(engine: Engine, slots: int, seconds: float) -> None:
    engine.open(slots, closed=True)
    engine.start()
    engine.serve(clock_ns() + round(seconds * SECOND))
    engine.stop_sending()
    engine.serve(clock_ns() + 5 * SECOND)


def test_a_closed_loop_keeps_its_requests_outstanding_and_every_answer_is_right(served):
    engine = served.engine()
    log = engine.targets[0].log
    run_closed(engine, 4, 0.3)
    assert log.codes == {}
    assert engine.outstanding == 0
    assert len(log.sent) == len(log.done) > 20
    times = sorted([(t, 1) for t in log.sent] + [(t, -1) for t in log.done])
    level = greatest = 0
    for _, change in times:
        level += change
        greatest = max(greatest, level)
    assert greatest == 4
    assert all(done > sent for sent, done in zip(log.sent, log.done, strict=True))
    engine.close()


def test_an_open_loop_remembers_when_requests_were_due(served):
    engine = served.engine()
    engine.open(2, closed=False)
    due = [clock_ns() - 7_000_000 for _ in range(20)]
    for time in due:
        engine.submit(0, time)
    limit = clock_ns() + 20 * SECOND
    while engine.outstanding and clock_ns() < limit:
        engine.poll(0.05)
    log = engine.targets[0].log
    assert sorted(log.intended) == due
    assert all(sent >= t for t, sent in zip(log.intended, log.sent, strict=True))
    assert len(log.done) == 20
    engine.close()


def test_requests_beyond_the_cap_wait_for_a_free_slot(served):
    engine = served.engine(max_outstanding=2)
    engine.open(1, closed=False)
    for _ in range(10):
        engine.submit(0, clock_ns())
    assert engine.outstanding == 2
    assert engine.waiting == 8
    limit = clock_ns() + 20 * SECOND
    while (engine.outstanding or engine.waiting) and clock_ns() < limit:
        engine.poll(0.05)
    assert len(engine.targets[0].log.done) == 10
    engine.close()


def test_an_open_loop_has_no_more_outstanding_than_it_may(served):
    engine = served.engine()
    generator = Generator(engine, OpenLoop(20_000.0, max_outstanding=2), 1)
    generator.start()
    generator.mark(from_begin=True)
    for _ in range(10):
        generator.run(clock_ns() + SECOND // 50)
        assert engine.outstanding <= 2
    generator.finish(10.0)
    assert generator.progress().capped > 0
    assert generator.records().main[0].successes > 10
    engine.close()


@pytest.mark.parametrize("load", [ClosedLoop(4), ClosedLoop(50), OpenLoop(2_000.0)])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_counted_load_has_so_many_requests_and_ends_with_the_last_answer(served, load, parts):
    engines = [served.engine() for _ in range(parts)]
    whole = 0
    for part, engine in enumerate(engines):
        generator = Generator(engine, load, 1, part, parts, requests=25)
        generator.start()
        generator.mark(from_begin=True)
        generator.run(clock_ns() + 20 * SECOND)
        assert generator.progress().exhausted
        end = generator.finish(5.0)
        (recorder,) = generator.records().main
        assert recorder.codes == {}
        assert recorder.successes == recorder.completed.sum()
        assert end == engine.last_success_ns + 1
        whole += recorder.successes
        engine.close()
    assert whole == 25


def test_an_engine_is_used_again_for_other_levels(served):
    engine = served.engine()
    for slots in (1, 5, 2):
        run_closed(engine, slots, 0.1)
        log = engine.targets[0].log
        assert log.codes == {}
        assert log.done
        log.clear()
    engine.open(1, closed=False)
    engine.submit(0, clock_ns())
    limit = clock_ns() + 10 * SECOND
    while engine.outstanding and clock_ns() < limit:
        engine.poll(0.05)
    assert len(engine.targets[0].log.done) == 1
    engine.close()


def test_large_tensors_arrive_whole(served):
    engine = served.engine(served.job(columns=200_000, count=2, expect=True))
    run_closed(engine, 3, 0.4)
    log = engine.targets[0].log
    assert log.codes == {}
    assert len(log.done) > 3
    engine.close()


def test_what_is_given_up_is_counted(served):
    engine = served.engine()
    engine.open(1, closed=False)
    engine.submit(0, clock_ns())
    count = engine.cancel_outstanding()
    engine.stop_sending()
    log = engine.targets[0].log
    assert log.codes.get("UNFINISHED", 0) == count
    assert engine.outstanding == 0
    engine.close()


def test_a_whole_level_has_no_failures(served):
    engine = served.engine()
    for load in (ClosedLoop(4), OpenLoop(200.0)):
        generator = Generator(engine, load, 1)
        run = run_load(generator, load, Conditions(budget_s=0.5, fixed=True), lambda: None)
        assert run.records.main[0].codes == {}
        assert run.records.main[0].successes > 20
    engine.close()


def test_the_first_request_is_checked(served):
    engine = served.engine()
    check_targets(engine, 10.0)
    assert engine.targets[0].log.codes == {}
    engine.close()


def unary(served: Served) -> bool:
    return not served.endpoint.streaming


def test_values_are_compared_with_a_reference(served):
    right, wrong = served.job(expect=True), served.job(expect=True, wrong=True)
    codes = []
    for job in (right, wrong):
        engine = served.engine(job)
        engine.open(1, closed=False)
        engine.submit(0, clock_ns())
        limit = clock_ns() + 10 * SECOND
        while engine.outstanding and clock_ns() < limit:
            engine.poll(0.05)
        codes.append(dict(engine.targets[0].log.codes))
        engine.close()
    assert codes[0] == {}
    # Streams may answer in any number of parts, so their values are not compared.
    assert codes[1] == ({"WRONG VALUES": 1} if unary(served) else {})


@pytest.mark.parametrize("kind", KINDS)
def test_no_server_is_told(kind, unused_port):
    endpoint = Endpoint("127.0.0.1", unused_port, protocol_of(kind), streaming=kind == "stream")
    served = Served(endpoint, client_of(kind))
    engine = served.engine(connect_timeout_s=1.0)
    with pytest.raises(EnvironmentProblem) as caught:
        engine.open(1, closed=True)
    assert caught.value.code == "TG901"
    engine.close()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    both = folder / "both.pem"
    with both.open("wb") as out:
        for part in (key, certificate):
            with part.open("rb") as file:
                shutil.copyfileobj(file, out)
    return both


@pytest.mark.parametrize("kind", KINDS)
def test_tls_is_spoken_and_checked(kind, certificate, tmp_path):
    protocol, client = protocol_of(kind), client_of(kind)
    if protocol is ClientProtocol.HTTP:
        context = synthetic_server(Behaviour(certificate=str(certificate)), tmp_path)
    else:
        context = synthetic_grpc(GrpcBehaviour(certificate=str(certificate)))
    with context as server:
        endpoint = Endpoint(
            "localhost", server.port, protocol, Tls(certificate), streaming=kind == "stream"
        )
        for tls in (Tls(certificate), Tls(verify=False)):
            trusting = Served(replace(endpoint, tls=tls), client)
            engine = trusting.engine(trusting.job(columns=50_000))
            run_closed(engine, 3, 0.3)
            assert engine.targets[0].log.codes == {}
            assert engine.targets[0].log.done
            engine.close()
        stranger = Served(replace(endpoint, tls=Tls()), client).engine(connect_timeout_s=2.0)
        with pytest.raises(EnvironmentProblem):
            stranger.open(1, closed=True)
        stranger.close()
