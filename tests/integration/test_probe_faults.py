"""`tritongen probe` against a server on which things go wrong: numbers, verdict, reason, exit code.

Latencies are held against what the server itself measured, or against what cannot be otherwise.
"""

import json
import signal
import socket
import statistics
import threading
import time
from contextlib import contextmanager

import pytest

from support.cli import Project
from support.synthetic_server import Behaviour, synthetic_server


@pytest.fixture
def folder(tmp_path) -> Project:
    return Project(tmp_path)


@contextmanager
def serving(tmp_path, **behaviour):
    with synthetic_server(Behaviour(**behaviour), tmp_path) as server:
        yield server


def level(folder: Project, server, *arguments: str, expect: int = 0):
    """The one level of a short probe, and the whole document."""
    found = folder.json(
        *("probe", "-u", server.address, "-m", "echo", "--duration", "1", *arguments), expect=expect
    )
    return found["levels"][0], found


def test_latency_agrees_with_what_the_server_measured(folder, tmp_path):
    with serving(tmp_path, latency_s=0.020, spread_s=0.020) as server:
        found, _ = level(folder, server, "--concurrency", "8", "--duration", "3")
        inside = sorted(server.log())
    assert found["requests"]["failed"] == 0
    for key, fraction in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95)):
        truth = inside[int(fraction * len(inside))] * 1e6
        assert found["latency_us"][key]["value"] == pytest.approx(truth, rel=0.15)
    parts = found["attribution"]["parts_us"]
    assert sum(parts.values()) == pytest.approx(found["attribution"]["total_us"], abs=0.1)
    assert parts["compute_infer"] == pytest.approx(statistics.mean(inside) * 1e6, rel=0.1)


def test_a_stall_is_seen_from_the_schedule(folder, tmp_path):
    """500 ms in every 2 s at a steady rate: a quarter of the requests waits, up to 500 ms."""
    with serving(tmp_path, latency_s=0.001, stall_every_s=2.0, stall_s=0.5) as server:
        found, _ = level(
            folder, server, "--rate", "100", "--arrivals", "constant", "--duration", "6"
        )
    assert found["latency_us"]["p50"]["value"] < 50_000
    # One in ten requests waits longer than 300 ms, one in twenty longer than 400 ms.
    assert found["latency_us"]["p90"]["value"] == pytest.approx(300_000, rel=0.15)
    assert found["latency_us"]["p95"]["value"] == pytest.approx(400_000, rel=0.15)


@pytest.mark.parametrize("share", [0.01, 0.5])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("fail_share", "HTTP 503"),
        ("drop_share", "CONNECTION"),
        ("cut_share", "CUT SHORT"),
        ("wrong_share", "WRONG RESPONSE"),
    ],
)
def test_failures_are_counted_and_end_nothing(folder, tmp_path, fault, code, share):
    with serving(tmp_path, latency_s=0.002, **{fault: share}) as server:
        found, _ = level(folder, server, "--concurrency", "4")
    requests = found["requests"]
    assert set(requests["failures_by_code"]) == {code}
    assert requests["failed"] / requests["sent"] == pytest.approx(share, abs=0.06)
    assert requests["sent"] == requests["ok"] + requests["failed"]
    assert requests["examples"][code]
    assert found["latency_us"]["p50"]["value"] > 2_000
    assert found["throughput_per_s"]["value"] > 10
    assert any(code in advice["sentence"] for advice in found["advice"])


@pytest.mark.parametrize(
    ("fault", "code"), [("fail_share", "HTTP 503"), ("drop_share", "CONNECTION")]
)
def test_nothing_but_failures_still_gives_numbers(folder, tmp_path, fault, code):
    with serving(tmp_path, latency_s=0.002, **{fault: 1.0}) as server:
        found, document = level(folder, server, "--concurrency", "4", expect=3)
    assert document["error"]["code"] == "TG919"
    assert found["verdict"] == "TOO FEW"
    assert set(found["requests"]["failures_by_code"]) == {code}
    assert found["latency_us"]["p50"] is None
    assert found["latency_all_us"]["p50"]["value"] > 2_000
    assert found["throughput_per_s"] is None


def test_a_model_that_refuses_the_request_is_bad_input(folder, tmp_path):
    with serving(tmp_path, fail_share=1.0, fail_status=400) as server:
        error = folder.error("probe", "-u", server.address, "-m", "echo", expect=2)
    assert error["code"] == "TG904"
    assert error["message"] == "refused on purpose"
    assert "--shape" in error["fix"]


def test_a_server_that_dies_leaves_the_numbers_so_far(folder, tmp_path):
    with serving(tmp_path, latency_s=0.005) as server:
        threading.Timer(2.5, server.kill).start()
        found, document = level(folder, server, "--concurrency", "4", "--duration", "30", expect=3)
    assert document["error"]["code"] == "TG908"
    assert "cannot be reached" in document["error"]["message"]
    assert found["requests"]["ok"] > 20
    assert found["latency_us"]["p50"]["value"] > 5_000
    assert "CONNECTION" in found["requests"]["failures_by_code"]


def test_a_server_that_dies_at_once_leaves_the_numbers_so_far(folder, tmp_path):
    with serving(tmp_path, latency_s=0.001, exit_after=60) as server:
        found, document = level(folder, server, "--concurrency", "2", expect=3)
    assert document["error"]["code"] == "TG908"
    assert found["requests"]["ok"] > 0


def test_a_stalled_server_is_told(folder, tmp_path):
    with serving(tmp_path, latency_s=0.002, silent_after=200) as server:
        found, document = level(folder, server, "--concurrency", "4", "--duration", "2", expect=3)
    assert document["error"]["code"] in {"TG918", "TG919", "TG908"}
    assert "4" in document["error"]["message"]
    assert found["verdict"] == "TOO FEW"


def test_a_paused_server_goes_on_and_so_does_the_schedule(folder, tmp_path):
    def pause() -> None:
        server.pause()
        time.sleep(0.7)
        server.go_on()

    with serving(tmp_path, latency_s=0.001) as server:
        threading.Timer(2.0, pause).start()
        found, _ = level(folder, server, "--rate", "200", "--duration", "4")
    assert found["requests"]["failed"] == 0
    assert found["latency_us"]["max"] > 600_000
    assert found["latency_us"]["p99"]["value"] > 300_000
    assert found["requests"]["ok"] == pytest.approx(800, rel=0.15)


@pytest.mark.parametrize("kind", ["silent", "closing", "ssh", "half a response"])
def test_a_port_that_is_no_triton_is_told(folder, kind):
    answers = {
        "silent": None,
        "closing": b"",
        "ssh": b"SSH-2.0-OpenSSH_9.0\r\n",
        "half a response": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    }
    listener = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            answer = answers[kind]
            if answer is None:
                kept.append(connection)
                continue
            connection.sendall(answer)
            connection.close()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        error = folder.error("probe", "-u", address, expect=3)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in kept:
            connection.close()
    assert error["code"] in {"TG901", "TG902"}


def test_no_server_and_no_address(folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        assert folder.error("probe", "-u", address, expect=3)["code"] == "TG901"
        grpc = folder.error("probe", "-u", address, "--protocol", "grpc", expect=3)
        assert grpc["code"] == "TG901"
    assert folder.error("probe", expect=3)["code"] == "TG901"
    assert folder.error("probe", "-u", "no such host:1", expect=2)["code"] == "TG905"
    assert folder.error("probe", "-u", "nowhere.invalid:8000", expect=3)["code"] == "TG901"


def test_an_http_port_is_no_grpc_port(folder, tmp_path):
    with serving(tmp_path) as server:
        error = folder.error("probe", "-u", server.address, "--protocol", "grpc", expect=3)
    assert error["code"] == "TG902"
    assert "gRPC" in error["message"]


def test_a_server_without_binary_tensors_is_told(folder, tmp_path):
    with serving(tmp_path, extensions=("statistics",)) as server:
        error = folder.error("probe", "-u", server.address, expect=3)
    assert error["code"] == "TG902"
    assert "binary tensor data" in error["message"]


def test_an_unknown_model_is_told(folder, tmp_path):
    with serving(tmp_path) as server:
        error = folder.error("probe", "-u", server.address, "-m", "other", expect=3)
    assert error["code"] == "TG903"
    assert error["where"] == "other"


@pytest.mark.parametrize("behaviour", [{"chunked": True}, {"close": True}])
def test_responses_may_be_chunked_or_close_their_connection(folder, tmp_path, behaviour):
    with serving(tmp_path, latency_s=0.002, **behaviour) as server:
        found, _ = level(folder, server, "--concurrency", "4")
    assert found["requests"]["failed"] == 0
    assert found["requests"]["ok"] > 50


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_prints_the_numbers_so_far(folder, tmp_path, ending, code):
    with serving(tmp_path, latency_s=0.005) as server:
        words = ("probe", "-u", server.address, "-m", "echo", "--format", "json")
        process = folder.start(*words, "--concurrency", "2", "--duration", "60")
        limit = time.monotonic() + 60
        while len(server.log()) < 500 and time.monotonic() < limit:
            time.sleep(0.05)
        process.send_signal(ending)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "numbers so far" in err
    document = json.loads(out)
    assert document["interrupted"] is True
    (found,) = document["levels"]
    assert found["requests"]["ok"] > 100
    assert found["reason"]


def test_several_processes_make_one_load(folder, tmp_path):
    with serving(tmp_path, latency_s=0.005) as server:
        found, _ = level(folder, server, "--concurrency", "6", "--processes", "3")
        inside = server.log()
    assert found["client"]["processes"] == 3
    assert found["requests"]["failed"] == 0
    assert found["throughput_per_s"]["value"] == pytest.approx(6 / statistics.mean(inside), rel=0.2)


def test_several_processes_follow_one_schedule(folder, tmp_path):
    with serving(tmp_path, latency_s=0.002) as server:
        found, _ = level(folder, server, "--rate", "300", "--processes", "2", "--duration", "2")
    assert found["requests"]["sent"] == pytest.approx(600, rel=0.15)
    assert found["requests"]["failed"] == 0


def test_load_processes_go_with_the_one_that_started_them(folder, tmp_path):
    with serving(tmp_path, latency_s=0.005) as server:
        words = ("probe", "-u", server.address, "-m", "echo", "--processes", "2")
        process = folder.start(*words, "--concurrency", "2", "--duration", "60")
        limit = time.monotonic() + 60
        while len(server.log()) < 100 and time.monotonic() < limit:
            time.sleep(0.05)
        process.kill()
        process.communicate()
        time.sleep(1.5)
        before = len(server.log())
        time.sleep(0.5)
        assert len(server.log()) == before


def test_no_server_for_several_processes_is_one_error(folder, tmp_path):
    with serving(tmp_path, latency_s=0.001, exit_after=2) as server:
        words = ("-m", "echo", "--processes", "2", "--duration", "1")
        error = folder.error("probe", "-u", server.address, *words, expect=3)
    assert error["code"] in {"TG901", "TG908", "TG917"}


def test_a_step_of_the_wall_clock_changes_nothing(folder, tmp_path):
    """A wall clock that runs backwards by an hour a second."""
    folder.write(
        "sitecustomize.py",
        "import time\nbegin = time.time()\nreal = time.monotonic\nstart = real()\n"
        "time.time = lambda: begin - 3600 * (real() - start)\n"
        "time.time_ns = lambda: round(time.time() * 1e9)\n",
    )
    with serving(tmp_path, latency_s=0.005) as server:
        words = ("probe", "-u", server.address, "-m", "echo", "--duration", "1")
        found = folder.json(*words, PYTHONPATH=str(folder.folder))["levels"][0]
    assert found["requests"]["failed"] == 0
    assert found["duration_s"] == pytest.approx(1.0, abs=0.3)
    assert 5_000 < found["latency_us"]["p50"]["value"] < 100_000


def test_real_tensors_and_their_outputs_are_checked(folder, tmp_path):
    good = {"data": [{"IN": [1, 2, 3, 4]}], "validation_data": [{"OUT": [1, 2, 3, 4]}]}
    bad = {"data": [{"IN": [1, 2, 3, 4]}], "validation_data": [{"OUT": [1, 2, 3, 5]}]}
    with serving(tmp_path, latency_s=0.002) as server:
        path = folder.write("good.json", json.dumps(good))
        found, _ = level(folder, server, "--data", str(path))
        assert found["requests"]["failed"] == 0
        path = folder.write("bad.json", json.dumps(bad))
        error = folder.error("probe", "-u", server.address, "--data", str(path), expect=3)
    assert error["code"] == "TG915"
    assert "differs from the reference" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--concurrency", "0"), "TG905"),
        (("--concurrency", "4", "--rate", "5"), "TG905"),
        (("--rate", "-1"), "TG905"),
        (("--goal", "fast"), "TG905"),
        (("--goal", "p99<5ms", "--find", "knee"), "TG905"),
        (("--schedule", "nowhere.txt"), "TG905"),
        (("--batch", "0"), "TG905"),
        (("--max-outstanding", "0", "--rate", "5"), "TG905"),
        (("--confidence", "1.5"), "TG905"),
        (("--shape", "IN"), "TG905"),
        (("--values", "IN"), "TG905"),
        (("--values", "IN=banana"), "TG304"),
        (("--values", "OTHER=zeros"), "TG907"),
        (("--shape", "IN:5"), "TG907"),
        (("--data", "nowhere.npz"), "TG002"),
        (("--batch", "99", "--data", "nowhere.npz"), "TG002"),
        (("-m", "../etc/passwd"), "TG905"),
        (("-o", "x.json"), "TG009"),
        (("--compare", "a.json", "b.json"), "TG002"),
        (("--against", "nowhere.pbtxt"), "TG002"),
    ],
)
def test_bad_input_is_told_with_exit_code_2(folder, tmp_path, arguments, code):
    with serving(tmp_path, latency_s=0.001) as server:
        words = ("probe", "-u", server.address, *arguments)
        if "-o" in arguments:
            ran = folder.run(*words, expect=2)
            assert "error TG905" in ran.err
            return
        assert folder.error(*words, expect=2)["code"] == code


def test_results_are_written_in_every_format(folder, tmp_path):
    with serving(tmp_path, latency_s=0.002) as server:
        for kind in ("json", "csv", "html"):
            words = ("probe", "-u", server.address, "--duration", "0.5", "--format", kind)
            ran = folder.run(*words, "-o", f"out.{kind}")
            assert ran.out == ""
        text = folder.run("probe", "-u", server.address, "--duration", "0.5").out
    assert json.loads((folder.folder / "out.json").read_text())["kind"] == "tritongen.probe"
    assert (folder.folder / "out.csv").read_text().startswith("Concurrency,Inferences/Second,")
    assert "<svg" in (folder.folder / "out.html").read_text()
    assert "c = 8" in text
    assert "echo" in text


def test_a_schedule_is_replayed(folder, tmp_path):
    path = folder.write("day.txt", "10s 20\n5s 200\n10s 20\n")
    with serving(tmp_path, latency_s=0.002) as server:
        words = ("--schedule", str(path), "--speedup", "10", "--arrivals", "constant")
        found, _ = level(folder, server, *words, "--duration", "10")
        assert found["load"]["kind"] == "schedule"
        assert found["requests"]["sent"] == 140
        found, _ = level(folder, server, "--schedule", "bursts", "--rate", "50", "--duration", "2")
        assert found["requests"]["sent"] == pytest.approx(100, rel=0.4)
        folder.write("trace.txt", "0\n0.1\n0.2\n0.9\n")
        found, _ = level(folder, server, "--schedule", str(folder.folder / "trace.txt"))
        assert found["requests"]["sent"] == 4
        assert found["verdict"] == "TOO FEW"


def test_the_goal_is_searched_for(folder, tmp_path):
    with serving(tmp_path, latency_s=0.004, workers=1) as server:
        words = ("probe", "-u", server.address, "--time-budget", "0.7")
        found = folder.json(*words, "--goal", "p90<200ms")
        (answer,) = found["answers"]
        assert answer["question"] == "goal"
        assert 20 < answer["value"] < 300
        assert answer["beyond"] > answer["value"]
        missed = folder.json(*words, "--goal", "p90<1ms", expect=4)
        assert missed["error"]["code"] == "TG910"
        assert missed["levels"]
        found = folder.json(*words, "--goal", "p90<100ms", "--concurrency", "1:64")
        assert 4 <= found["answers"][0]["value"] <= 40


def test_the_knee_is_found(folder, tmp_path):
    with serving(tmp_path, latency_s=0.01, workers=4) as server:
        found = folder.json("probe", "-u", server.address, "--time-budget", "0.6", "--find", "knee")
    (answer,) = found["answers"]
    assert 2 <= answer["value"] <= 8
    assert answer["throughput_per_s"]["value"] <= answer["capacity_per_s"] * 1.0001


def test_two_results_are_compared(folder, tmp_path):
    for name, latency in (("slow", 0.012), ("fast", 0.004)):
        with serving(tmp_path, latency_s=latency) as server:
            words = ("probe", "-u", server.address, "--duration", "2", "--format", "json")
            folder.run(*words, "-o", f"{name}.json")
    same = folder.json("probe", "--compare", "slow.json", "slow.json")
    assert {item["change"] for item in same["comparisons"]} == {"no measurable difference"}
    better = folder.json("probe", "--compare", "slow.json", "fast.json")
    changes = {item["metric"]: item["change"] for item in better["comparisons"]}
    assert changes["throughput"] == changes["p50"] == "better"
    worse = folder.json("probe", "--compare", "fast.json", "slow.json", expect=4)
    assert worse["error"]["code"] == "TG911"
    text = folder.run("probe", "--compare", "fast.json", "slow.json", expect=4).out
    assert "worse" in text
