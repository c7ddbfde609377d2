"""500 servers made from seeds: every client comes back in time, with a coded error or an answer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from support.cli import SECONDS
from support.hostile_scripts import http2_steps, http_steps, scripted
from support.probe_engines import job_of_rows, run_level
from tritongen.errors import TritongenError
from tritongen.fleet.observe.scrape import prometheus_history
from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.load_engine import EngineOptions, LoadClient
from tritongen.probe.load_job import make_plan
from tritongen.probe.prober import make_engine
from tritongen.system.process_usage import peak_bytes, reset_peak
from tritongen.triton.address import Endpoint
from tritongen.triton.connect import ServerClient
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_client import HttpClient
from tritongen.triton.metrics import metrics_page

LIMIT_S = 0.25
LEVEL_S = 0.3
LATE_S = 2.0
MAX_BYTES = 256 << 20
BLOCK = 25
ROWS = {"IN": np.zeros((1, 4), np.float32)}

QUESTIONS: dict[str, Callable[[ServerClient], object]] = {
    "metadata": lambda client: client.metadata(),
    "model metadata": lambda client: client.model_metadata("echo"),
    "configuration": lambda client: client.model_config("echo"),
    "statistics": lambda client: client.statistics(),
    "index": lambda client: client.index(),
    "inference": lambda client: client.infer("echo", ROWS),
}


def blocks(first: int, last: int) -> pytest.MarkDecorator:
    """Seeds from the first to before the last, some to a test."""
    return pytest.mark.parametrize(
        "seeds",
        [range(begin, begin + BLOCK) for begin in range(first, last, BLOCK)],
        ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}",
    )


def asked(seed: int, what: str, question: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Ask, and hold the client to its time, its memory and its errors."""
    reset_peak()
    before, begin = peak_bytes(), time.monotonic()
    try:
        question()
    except TritongenError:
        pass  # with a code and a fix, as its constructor wants them
    except Exception as problem:  # whatever else it is: the test says which seed and question
        raise AssertionError(f"seed {seed}, {what}: no error of the tool") from problem
    took, grown = time.monotonic() - begin, peak_bytes() - before
    assert took < limit_s + LATE_S, f"seed {seed}, {what}: {took:.1f} s"
    assert grown < MAX_BYTES, f"seed {seed}, {what}: {grown:,} bytes"


def loaded(
    address: str,
    protocol: ClientProtocol,
    *,
    client: LoadClient = LoadClient.AUTO,
    streaming: bool = False,
) -> None:
    """A level of a closed loop against the server; how its requests end is all one."""
    endpoint = replace(Endpoint.parse(address, protocol=protocol), streaming=streaming)
    options = EngineOptions(connections=2, timeout_s=LIMIT_S / 2)
    engine = make_engine(endpoint, [make_plan(job_of_rows(), endpoint, client=client)], options)
    try:
        run_level(engine, 4, LEVEL_S)
    finally:
        engine.close()


@blocks(0, 200)
def test_over_http(seeds: range) -> None:
    with scripted(http_steps, seeds) as servers:
        for seed, address in servers.items():
            for what, question in QUESTIONS.items():
                with HttpClient(address, LIMIT_S) as client:
                    asked(seed, what, partial(question, client))
            for by in (LoadClient.FAST, LoadClient.TRITONCLIENT):
                load = partial(loaded, address, ClientProtocol.HTTP, client=by)
                asked(seed, f"load by {by}", load, LEVEL_S)


@blocks(200, 400)
def test_loads_over_grpc(seeds: range) -> None:
    with scripted(http2_steps, seeds) as servers:
        for seed, address in servers.items():
            asked(seed, "load", partial(loaded, address, ClientProtocol.GRPC), LEVEL_S)


@blocks(200, 400)
def test_what_runs_on_the_library_of_grpc(seeds: range) -> None:
    """In a process of its own, which gRPC's library ends where it does not know an error code.

    An abort of gRPC 1.85 cannot be caught; docs/trust.md says so.
    """
    with scripted(http2_steps, seeds) as servers:
        left = [*servers.items()]
        while left:
            done = subprocess.run(
                [sys.executable, "-c", "import system.test_hostile_scripts as t; t.ask_each()"],
                input=json.dumps(left), capture_output=True, text=True, check=False,
                cwd=Path(__file__).parents[1], env=os.environ | {"GRPC_VERBOSITY": "NONE"},
                timeout=SECONDS,
            )  # fmt: skip
            begun = [int(line) for line in done.stdout.split()]
            assert done.returncode in {0, -signal.SIGABRT}, done.stderr
            assert begun, done.stderr
            assert begun == [seed for seed, _ in left[: len(begun)]]
            left = left[len(begun) :]


def ask_each() -> None:
    """Questions to servers of another process; each seed on standard input is printed."""
    for seed, address in json.load(sys.stdin):
        print(seed, flush=True)
        for what in ("metadata", "model metadata", "inference"):
            with GrpcClient(address, LIMIT_S) as client:
                asked(seed, what, partial(QUESTIONS[what], client))
        for streaming in (False, True):
            load = partial(
                loaded, address, ClientProtocol.GRPC,
                client=LoadClient.TRITONCLIENT, streaming=streaming,
            )  # fmt: skip
            asked(seed, "streams" if streaming else "load by tritonclient", load, LEVEL_S)


@blocks(400, 500)
def test_scrapes(seeds: range) -> None:
    def scrape(server: tuple[int, str]) -> None:
        seed, address = server
        asked(seed, "page", partial(metrics_page, Endpoint.parse(address), LIMIT_S))
        # Its own limit is 30 s, longer than any script lasts.
        history = partial(prometheus_history, f"http://{address}", 0.0, 60.0, 1.0)
        asked(seed, "history", history, 30.0)

    with scripted(http_steps, seeds) as servers, ThreadPoolExecutor(BLOCK) as pool:
        list(pool.map(scrape, servers.items()))
