"""`tritongen probe` against a server on which things go wrong: numbers, verdict, reason, exit code.

Latencies are held against what the server itself measured, or against what cannot be otherwise.
"""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from support.cli import Project
from support.probe_cli import level, serving, wait_for
from support.synthetic_server import SyntheticServer


@pytest.fixture
def folder(tmp_path) -> Project:
    return Project(tmp_path)


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


def test_what_a_model_raises_at_every_attempt_is_bad_input(folder, tmp_path):
    with serving(tmp_path, fail_share=1.0, fail_status=500) as server:
        error = folder.error("probe", "-u", server.address, "-m", "echo", expect=2)
    assert error["code"] == "TG904"


def test_a_server_that_answers_with_failures_alone_is_not_gone(folder, tmp_path):
    """Though there is no point in going on."""
    with serving(tmp_path, latency_s=0.002, fail_share=1.0) as server:
        wish = ("--concurrency", "4", "--duration", "30")
        found, document = level(folder, server, *wish, expect=3)
    assert document["error"]["code"] == "TG919"
    assert found["requests"]["sent"] > 0


def test_a_server_that_dies_leaves_the_numbers_so_far(folder, tmp_path):
    def kill() -> None:
        # More than four clients are answered while a load warms up, for a second at most.
        wait_for(server, 1200)
        server.kill()

    with serving(tmp_path, latency_s=0.005) as server:
        threading.Thread(target=kill, daemon=True).start()
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
        # Warm-up lasts for a second at most; this is well into the window.
        wait_for(server, 450)
        server.pause()
        time.sleep(0.7)
        server.go_on()

    with serving(tmp_path, latency_s=0.001) as server:
        pausing = threading.Thread(target=pause)
        pausing.start()
        found, _ = level(folder, server, "--rate", "200", "--duration", "4")
        pausing.join()
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
    assert folder.error("probe", "-u", "no such host:1", expect=2)["code"] == "TG304"
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


@pytest.mark.parametrize(
    "behaviour", [{"chunked": True}, {"close": True}, {"version": "1.0", "close": True}]
)
def test_responses_may_be_chunked_or_close_their_connection(folder, tmp_path, behaviour):
    with serving(tmp_path, latency_s=0.002, **behaviour) as server:
        found, _ = level(folder, server, "--concurrency", "4")
    assert found["requests"]["failed"] == 0
    assert found["requests"]["ok"] > 50


@pytest.mark.parametrize("load", [("--concurrency", "4"), ("--rate", "500")])
def test_failed_requests_count_for_the_end_of_a_level_too(folder, tmp_path, load):
    with serving(tmp_path, latency_s=0.002, drop_share=0.2, fail_share=0.2) as server:
        words = ("probe", "-u", server.address, "-m", "echo", "--request-count", "100", *load)
        (found,) = folder.json(*words)["levels"]
    assert found["requests"]["sent"] == 100
    assert 20 < found["requests"]["failed"] < 60
    assert found["throughput_per_s"]["value"] == pytest.approx(
        found["requests"]["ok"] / found["duration_s"], rel=0.05
    )


@pytest.mark.parametrize(("ending", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_prints_the_numbers_so_far(folder, tmp_path, ending, code):
    with serving(tmp_path, latency_s=0.005) as server:
        words = ("probe", "-u", server.address, "-m", "echo", "--format", "json")
        process = folder.start(*words, "--concurrency", "2", "--duration", "60")
        wait_for(server, 500)
        process.send_signal(ending)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "numbers so far" in err
    document = json.loads(out)
    assert document["interrupted"] is True
    (found,) = document["levels"]
    assert found["requests"]["ok"] > 100
    assert found["reason"]


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


@pytest.fixture(scope="module")
def idle(tmp_path_factory) -> Iterator[SyntheticServer]:
    with serving(tmp_path_factory.mktemp("idle")) as server:
        yield server


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--concurrency", "0"), "TG905"),
        (("--time-budget", "2 weeks"), "TG009"),
        (("--concurrency", "4", "--rate", "5"), "TG905"),
        (("--rate", "-1"), "TG905"),
        (("--goal", "fast"), "TG905"),
        (("--goal", "p99<5ms", "--find", "knee"), "TG905"),
        (("--schedule", "nowhere.txt"), "TG905"),
        (("--batch", "0"), "TG905"),
        (("--max-outstanding", "0", "--rate", "5"), "TG905"),
        (("--request-count", "0"), "TG009"),
        (("--request-count", "5", "--find", "knee"), "TG905"),
        (("--confidence", "1.5"), "TG905"),
        (("--shape", "IN"), "TG905"),
        (("--values", "IN"), "TG905"),
        (("--values", "IN=banana"), "TG304"),
        (("--values", "OTHER=zeros"), "TG907"),
        (("--shape", "IN:5"), "TG907"),
        (("--data", "nowhere.npz"), "TG002"),
        (("--batch", "99", "--data", "nowhere.npz"), "TG002"),
        (("-m", "../etc/passwd"), "TG905"),
        (("-o", "x.txt"), "TG905"),
        (("--compare", "a.json", "b.json"), "TG002"),
        (("--against", "nowhere.pbtxt"), "TG002"),
    ],
)
def test_bad_input_is_told_with_exit_code_2(folder, idle, arguments, code):
    words = ("probe", "-u", idle.address, *arguments)
    if "-o" in arguments:
        ran = folder.run(*words, expect=2)
        assert "error TG905" in ran.err
        return
    assert folder.error(*words, expect=2)["code"] == code
