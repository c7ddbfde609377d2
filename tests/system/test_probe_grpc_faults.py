"""What the gRPC engines meet in the field, from a peer that is gRPC's own server."""

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.http2_peer import HEADERS
from support.pods import Balancer
from support.probe_engines import SECOND, grpc_engine, run_level
from support.synthetic_grpc import GrpcBehaviour, synthetic_grpc
from tritongen.probe.engines import frames
from tritongen.probe.engines.client_grpc import MAX_MESSAGES_BYTES
from tritongen.probe.engines.frames import frame
from tritongen.probe.engines.grpc_engine import GrpcEngine
from tritongen.probe.engines.slot_engine import Engine
from tritongen.probe.load_engine import FailureCode, LoadClient, clock_ns

TRITONCLIENT = {"client": LoadClient.TRITONCLIENT}
WAYS = pytest.mark.parametrize(
    "way", [{}, TRITONCLIENT, {"streaming": True}], ids=["fast", "tritonclient", "streams"]
)


def run(engine: Engine, slots: int, seconds: float, ticks: int = 10):
    log = load(engine, slots, seconds, ticks)
    engine.close()
    return log


def load(engine: Engine, slots: int, seconds: float, ticks: int = 10):
    engine.open(slots, closed=True)
    engine.start()
    for _ in range(ticks):
        engine.serve(clock_ns() + round(seconds / ticks * SECOND))
        engine.check_timeouts(clock_ns())
        engine.inspect()
    engine.stop_sending()
    engine.serve(clock_ns() + 5 * SECOND)
    engine.cancel_outstanding()
    return engine.targets[0].log


def test_connections_that_are_sent_away_lose_no_request():
    with synthetic_grpc(GrpcBehaviour(max_age_ms=150)) as server:
        engine = grpc_engine(server.port, connections=2)
        assert isinstance(engine, GrpcEngine)
        log = run(engine, 4, 1.5)
    assert log.codes == {}
    assert len(log.done) > 100


@WAYS
def test_a_connection_that_takes_its_time_costs_no_request(way):
    """As to another continent, or to a server that is busy: gRPC's requests wait for it."""
    with synthetic_grpc(GrpcBehaviour(max_age_ms=300)) as server:
        balancer = Balancer(server.port, late_s=0.4)
        balancer.addresses = ["127.0.0.1"]
        log = run(grpc_engine(balancer.port, connections=1, **way), 2, 3.0)
        balancer.close()
    assert log.codes == {}
    assert len(log.done) > 10


def test_no_more_streams_than_the_server_allows():
    with synthetic_grpc(GrpcBehaviour(max_streams=2, latency_s=0.002)) as server:
        log = run(grpc_engine(server.port, connections=1), 6, 0.5)
    assert log.codes == {}
    assert len(log.done) > 50


def test_stream_ids_are_renewed_before_they_run_out():
    with synthetic_grpc(GrpcBehaviour()) as server:
        log = run(grpc_engine(server.port, connections=2, renew_streams_at=41), 4, 0.6)
    assert log.codes == {}
    assert len(log.done) > 100


def test_large_requests_are_paced_by_the_peers_windows():
    with synthetic_grpc(GrpcBehaviour()) as server:
        log = run(grpc_engine(server.port, columns=1_500_000, connections=1), 3, 1.0)
    assert log.codes == {}
    assert len(log.done) >= 3


@WAYS
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_failures_are_counted_and_end_nothing(share, way):
    streaming = "streaming" in way
    with synthetic_grpc(GrpcBehaviour(fail_share=share, fail_status="INTERNAL")) as server:
        log = run(grpc_engine(server.port, **way), 4, 1.0)
    failed = sum(log.codes.values())
    whole = failed + len(log.done)
    code = "GRPC ERROR" if streaming else "GRPC INTERNAL"
    assert set(log.codes) <= {code}
    assert failed / whole == pytest.approx(share, abs=0.05)
    if failed:
        assert "refused on purpose" in log.examples[code]
    if failed and not streaming:
        assert log.examples[code] == "refused on purpose: 100 %"


@pytest.mark.parametrize("way", [{}, TRITONCLIENT], ids=["fast", "tritonclient"])
def test_wrong_responses_are_found_among_right_ones(way):
    with synthetic_grpc(GrpcBehaviour(wrong_share=0.2)) as server:
        log = run(grpc_engine(server.port, **way), 4, 1.0)
    assert set(log.codes) == {"WRONG RESPONSE"}
    whole = len(log.done) + log.codes["WRONG RESPONSE"]
    assert log.codes["WRONG RESPONSE"] / whole == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("way", [{}, TRITONCLIENT], ids=["fast", "tritonclient"])
def test_a_server_without_answers_runs_into_the_time_out(way):
    with synthetic_grpc(GrpcBehaviour(silent_after=20)) as server:
        log = run(grpc_engine(server.port, timeout_s=0.3, **way), 2, 1.0)
    assert len(log.done) == 20
    assert set(log.codes) <= {"TIMEOUT", "UNFINISHED"}
    assert log.codes["TIMEOUT"] >= 2


@WAYS
def test_a_killed_server_fails_what_was_outstanding(way):
    with synthetic_grpc(GrpcBehaviour(latency_s=0.0 if way else 0.005)) as server:
        engine = grpc_engine(server.port, **way)
        threading.Timer(0.4, server.kill).start()
        log = run(engine, 4, 1.0)
    assert log.done
    assert set(log.codes) <= {"CONNECTION", "CUT SHORT", "GRPC UNAVAILABLE", "UNFINISHED"}
    assert sum(log.codes.values()) >= 1


@pytest.mark.parametrize("way", [TRITONCLIENT, {"streaming": True}], ids=["unary", "streams"])
def test_a_server_that_is_gone_is_asked_now_and_then(way):
    """It refuses at once: without a pause there were thousands of failures, and of threads."""
    with synthetic_grpc(GrpcBehaviour()) as server:
        engine = grpc_engine(server.port, **way)
        threading.Timer(0.2, server.kill).start()
        log = run(engine, 4, 2.0, ticks=20)
    assert 1 <= engine.lost <= 2 * 4 * 20
    assert sum(log.codes.values()) <= 4 * 20


@WAYS
def test_a_server_that_comes_back_is_used_again(way):
    with synthetic_grpc(GrpcBehaviour()) as server:
        engine = grpc_engine(server.port, **way)
        before = len(load(engine, 4, 0.3).done)
        server.kill()
    with synthetic_grpc(GrpcBehaviour(port=server.port)):
        after = len(run(engine, 4, 3.0, ticks=30).done)
    assert after > before > 0


@pytest.mark.parametrize("way", [TRITONCLIENT, {"streaming": True}], ids=["unary", "streams"])
def test_a_closed_engine_leaves_nothing_behind(way):
    """No thread, and no thread that writes to the file which has its old descriptor's number."""
    before = set(threading.enumerate())
    with synthetic_grpc(GrpcBehaviour(latency_s=0.01)) as server:
        engine = grpc_engine(server.port, **way)
        engine.open(8, closed=True)
        engine.start()
        engine.close()
        engine.close()
        pipes = [os.pipe() for _ in range(8)]
        server.kill()
        time.sleep(0.2)
    try:
        ready, _, _ = select.select([pipe[0] for pipe in pipes], [], [], 0.1)
        assert ready == []
        # A thread of an earlier test may end meanwhile.
        assert set(threading.enumerate()) <= before
    finally:
        for descriptor in (end for pipe in pipes for end in pipe):
            os.close(descriptor)


def test_an_answer_that_cannot_be_read_keeps_no_process_from_its_end():
    """tritonclient's thread waits for ever for what follows it."""
    with answering_server(b"\0\0\0\0\4\xff\xff\xff\xff") as port:
        program = "import system.test_probe_grpc_faults as t; t.read_unreadable()"
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=Path(__file__).parents[1], input=str(port),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr


def read_unreadable() -> None:
    """One stream to the server at the port on standard input."""
    engine = grpc_engine(int(sys.stdin.read()), streaming=True, timeout_s=0.3)
    run_level(engine, 1, 0.6)
    engine.close()
    log = engine.targets[0].log
    assert not log.done
    assert log.codes
    print("closed", flush=True)


@contextmanager
def answering_server(message: bytes) -> Iterator[int]:
    """The port of a server that answers each request with these bytes, and says no more."""

    def serve(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            stream = peer.makefile("rb")
            stream.read(len(frames.PREFACE))
            peer.sendall(frames.settings([]))
            while head := stream.read(9):
                stream.read(int.from_bytes(head[:3], "big"))
                if head[3] == frames.HEADERS:
                    number = int.from_bytes(head[5:], "big")
                    peer.sendall(frame(frames.HEADERS, frames.END_HEADERS, number, HEADERS))
                    peer.sendall(frame(frames.DATA, 0, number, message))

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                peer, _ = listening.accept()
                threading.Thread(target=serve, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_message_longer_than_its_share_of_what_may_be_held_is_refused(streaming: bool):
    with answering_server(b"\0" + (MAX_MESSAGES_BYTES // 2 + 1).to_bytes(4, "big")) as port:
        engine = grpc_engine(port, timeout_s=1.0, streaming=streaming, **TRITONCLIENT)
        log = run(engine, 2, 0.5)
    assert not log.done
    # A stream that was lost is opened again a moment later, and what comes before that fails.
    assert set(log.codes) <= {"GRPC RESOURCE_EXHAUSTED", "UNFINISHED", FailureCode.CONNECTION}
    assert log.codes["GRPC RESOURCE_EXHAUSTED"] >= 2


def test_a_stream_may_answer_any_number_of_times():
    with synthetic_grpc(GrpcBehaviour(responses=3)) as server:
        three = run(grpc_engine(server.port, streaming=True), 2, 0.4)
    with synthetic_grpc(GrpcBehaviour(responses=0)) as server:
        none = run(grpc_engine(server.port, streaming=True), 2, 0.4)
    assert three.codes == none.codes == {}
    assert three.done
    assert none.done
