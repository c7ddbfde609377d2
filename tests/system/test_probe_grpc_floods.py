"""A server that floods whoever asks over gRPC: all ends in time, and memory stays small."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.certificates import certificate
from support.flooding_http2 import FLOODS, flooding_server
from support.probe_engines import grpc_engine, run_level, waited_s
from tritongen.errors import EnvironmentProblem
from tritongen.probe.load_engine import LoadClient, Log
from tritongen.system.process_usage import peak_bytes, reset_peak
from tritongen.triton.address import Tls
from tritongen.triton.grpc_client import GrpcClient

LEVEL_S = 1.0
# None while a level lasts: a busy machine reads a flood slowly, and what is asked is how it ends.
TIMEOUT_S = LEVEL_S
MEMORY = 256 << 20


def flooded(port: int, **options) -> Log:
    """One level against the server; asserts what no flood may break."""
    engine = grpc_engine(port, columns=100_000, connections=2, timeout_s=TIMEOUT_S, **options)
    reset_peak()
    before = peak_bytes()
    begin, waited = time.monotonic(), waited_s()
    run_level(engine, 8, LEVEL_S)
    took = time.monotonic() - begin - (waited_s() - waited)
    engine.close()
    # The bound is what is tested: without one, a load lasts as long as the server likes.
    assert took < LEVEL_S + 2.0
    assert peak_bytes() - before < MEMORY
    log = engine.targets[0].log
    assert not log.done
    assert sum(log.codes.values()) >= 8
    return log


def assert_lost(log: Log) -> None:
    """Requests failed because the connection was given up."""
    lost = {log.examples.get(code, "") for code in ("CONNECTION", "CUT SHORT")}
    assert any(message.startswith("broken HTTP/2") for message in lost), log.examples


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection_and_not_the_probe(name):
    with flooding_server(name) as port:
        assert_lost(flooded(port))


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_a_question(name):
    with flooding_server(name) as port, GrpcClient(f"127.0.0.1:{port}", LEVEL_S) as client:
        reset_peak()
        before, begin = peak_bytes(), time.monotonic()
        with pytest.raises(EnvironmentProblem):
            client.metadata()
        took = time.monotonic() - begin
    assert took < LEVEL_S + 2.0
    assert peak_bytes() - before < MEMORY


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize("way", ["unary", "streams"])
def test_a_flood_of_grpc_s_library_ends_with_the_level_or_the_probe(name, way):
    """Each in a process of its own, since what the library still has to do goes on in it."""
    asked = f"import system.test_probe_grpc_floods as t; t.flood_library({name!r}, {way!r})"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=Path(__file__).parents[1], env=os.environ | {"GRPC_VERBOSITY": "NONE"},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.stdout in {"", "TG839\n"}
    assert done.returncode == 0, done.stderr[-500:]


def flood_library(name: str, way: str) -> None:
    """A level by tritonclient; prints the code of the error that ended it."""
    with flooding_server(name) as port:
        client = LoadClient.TRITONCLIENT
        engine = grpc_engine(port, client=client, streaming=way == "streams", timeout_s=TIMEOUT_S)
        reset_peak()
        before, begin = peak_bytes(), time.monotonic()
        try:
            run_level(engine, 8, LEVEL_S)
        except EnvironmentProblem as problem:
            print(problem.code, flush=True)
        engine.close()
        assert time.monotonic() - begin < LEVEL_S + 2.0
        assert peak_bytes() - before < MEMORY


@pytest.mark.parametrize("name", ["PING", "SETTINGS", "RST_STREAM of each stream"])
def test_a_peer_that_reads_what_it_asked_for_floods_no_longer(name):
    with flooding_server(name, reads=True) as port:
        assert_lost(flooded(port))


@pytest.mark.parametrize("name", ["PING", "empty DATA"])
def test_a_flood_over_tls_ends_the_connection_too(name, tmp_path):
    with flooding_server(name, certificate=certificate(tmp_path, "peer")) as port:
        assert_lost(flooded(port, tls=Tls(verify=False)))
