"""`tritongen probe --client`: tritonclient's own requests, and both clients in pairs."""

import csv
import io
import json
import threading
from pathlib import Path

import pytest

from support.cli import Project
from support.probe_cli import level, serving, wait_for
from support.probe_engines import job_of_rows, run_level
from support.synthetic_server import Behaviour, synthetic_server
from tritongen.probe.load_engine import EngineOptions, LoadClient
from tritongen.probe.load_job import make_plan
from tritongen.probe.prober import make_engine
from tritongen.triton.address import Endpoint

TRITONCLIENT = ("--client", "tritonclient")


@pytest.fixture
def folder(tmp_path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize("client", ["auto", "fast", "tritonclient"])
def test_a_result_names_its_client(folder, tmp_path, client):
    name = "fast" if client == "auto" else client
    with serving(tmp_path, latency_s=0.002) as server:
        found, _ = level(folder, server, "--client", client)
        words = ("probe", "-u", server.address, "--duration", "0.5", "--client", client)
        text = folder.run(*words).out
        table = folder.run(*words, "--format", "csv").out
    assert found["client"]["name"] == name
    assert found["engine"] == {"fast": "fast HTTP/1.1"}.get(name, "tritonclient HTTP")
    assert found["requests"]["failed"] == 0
    assert f"client: {name}, " in text
    (row,) = csv.DictReader(io.StringIO(table))
    assert row["Client"] == name


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("fail_share", "HTTP 503"),
        ("drop_share", "CONNECTION"),
        ("cut_share", "CUT SHORT"),
        ("wrong_share", "WRONG RESPONSE"),
    ],
)
def test_failures_are_counted_as_by_the_fast_client(folder, tmp_path, fault, code):
    with serving(tmp_path, latency_s=0.002, **{fault: 0.3}) as server:
        found, _ = level(folder, server, "--concurrency", "4", *TRITONCLIENT)
    requests = found["requests"]
    assert set(requests["failures_by_code"]) == {code}
    assert requests["failed"] / requests["sent"] == pytest.approx(0.3, abs=0.06)
    assert requests["examples"][code]


@pytest.mark.parametrize(
    "behaviour", [{"chunked": True}, {"close": True}, {"version": "1.0", "close": True}]
)
def test_any_framing_is_understood(folder, tmp_path, behaviour):
    with serving(tmp_path, latency_s=0.001, **behaviour) as server:
        found, _ = level(folder, server, *TRITONCLIENT)
    assert found["requests"]["failed"] == 0
    assert found["requests"]["ok"] > 50


def test_a_server_that_dies_leaves_the_numbers_so_far(folder, tmp_path):
    def kill() -> None:
        wait_for(server, 1200)
        server.kill()

    with serving(tmp_path, latency_s=0.005) as server:
        threading.Thread(target=kill, daemon=True).start()
        words = ("--concurrency", "4", "--duration", "30", *TRITONCLIENT)
        found, document = level(folder, server, *words, expect=3)
    assert document["error"]["code"] == "TG908"
    assert found["requests"]["ok"] > 20
    assert "CONNECTION" in found["requests"]["failures_by_code"]


def test_an_open_loop_counts_from_when_requests_were_due(folder, tmp_path):
    with serving(tmp_path, latency_s=0.002) as server:
        words = ("--rate", "100", "--duration", "2", "--arrivals", "constant", *TRITONCLIENT)
        found, _ = level(folder, server, *words)
    assert found["requests"]["sent"] == pytest.approx(200, abs=3)
    assert found["requests"]["failed"] == 0
    assert found["client"]["lateness_us"]["p50"] > 0


def test_values_are_compared(folder, tmp_path):
    bad = {"data": [{"IN": [1, 2, 3, 4]}], "validation_data": [{"OUT": [1, 2, 3, 5]}]}
    path = folder.write("bad.json", json.dumps(bad))
    with serving(tmp_path, latency_s=0.002) as server:
        words = ("probe", "-u", server.address, "--data", str(path), *TRITONCLIENT)
        error = folder.error(*words, expect=3)
    assert error["code"] == "TG915"
    assert "differs from the reference" in error["message"]


def test_both_clients_are_measured_in_pairs(folder, tmp_path):
    words = ("--client", "both", "--duration", "0.6", "--concurrency", "2")
    with serving(tmp_path, latency_s=0.002) as server:
        found = folder.json("probe", "-u", server.address, *words)
        text = folder.run("probe", "-u", server.address, *words).out
    assert found["compared"] == ["fast", "tritonclient"]
    figures = {item["metric"]: item for item in found["comparisons"]}
    assert set(figures) == {"throughput", "p50", "p99", "client CPU"}
    assert figures["client CPU"]["ratio"]["low"] > 1.0
    assert {item["load"] for item in figures.values()} == {"concurrency 2"}
    names = [one["client"]["name"] for one in found["levels"]]
    assert names[:6] == ["fast", "tritonclient", "tritonclient", "fast", "fast", "tritonclient"]
    assert "tritonclient / fast" in text
    assert "client CPU" in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--client", "tritonclient", "--processes", "2"), "TG914", "one process"),
        (("--client", "both", "--processes", "2"), "TG914", "one process"),
        (("--client", "both", "--goal", "p99<5ms"), "TG905", "different questions"),
        (("--client", "both", "-m", "echo=1"), "TG905", "without shares"),
    ],
)
def test_what_a_client_cannot_do_is_told(folder, tmp_path, words, code, said):
    with serving(tmp_path) as server:
        error = folder.error("probe", "-u", server.address, *words, expect=2)
    assert error["code"] == code
    assert said in error["message"]


def test_a_closed_engine_leaves_no_thread_and_no_descriptor(tmp_path):
    with synthetic_server(Behaviour(latency_s=0.01), tmp_path) as server:
        for _ in range(2):  # the first loads what stays
            threads, files = threading.active_count(), open_files()
            engine = client_engine(server.port)
            run_level(engine, 8, 0.2)
            assert engine.targets[0].log.codes == {}
            engine.close()
    assert threading.active_count() == threads
    assert open_files() <= files


def test_a_server_without_answers_runs_into_the_time_out(tmp_path):
    with synthetic_server(Behaviour(silent_after=20), tmp_path) as server:
        engine = client_engine(server.port, timeout_s=0.3)
        run_level(engine, 2, 1.0)
        engine.close()
    log = engine.targets[0].log
    assert len(log.done) == 20
    assert set(log.codes) <= {"TIMEOUT", "UNFINISHED"}
    assert log.codes["TIMEOUT"] >= 2


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def client_engine(port: int, **options):
    endpoint = Endpoint("127.0.0.1", port)
    plan = make_plan(job_of_rows(), endpoint, client=LoadClient.TRITONCLIENT)
    return make_engine(endpoint, [plan], EngineOptions(**options))
