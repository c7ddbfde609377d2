"""Counters from a metrics page and from a Prometheus server's history."""

import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tritongen.cli.main import main
from tritongen.errors import EnvironmentProblem, InvalidInputError, TritongenError
from tritongen.fleet.observe.scrape import (
    counters_of_metrics,
    counters_of_statistics,
    prometheus_history,
)

PAGE = """\
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="ocr",version="1"} 90
nv_inference_request_success{model="ocr",version="2"} 10
nv_inference_request_failure{model="ocr",reason="REJECTED",version="1"} 3
nv_inference_request_failure{model="ocr",reason="OTHER",version="1"} 2
nv_inference_count{model="ocr",version="1"} 400
nv_inference_exec_count{model="ocr",version="1"} 100
nv_inference_queue_duration_us{model="ocr",version="1"} 5000
nv_inference_compute_infer_duration_us{model="ocr",version="1"} 70000
nv_inference_compute_input_duration_us{model="ocr",version="1"} 1000
nv_inference_pending_request_count{model="ocr",version="1"} 7
nv_cpu_utilization 0.4
nv_inference_count{model="odd"} not-a-number
"""


class Prometheus(BaseHTTPRequestHandler):
    """Answers every query with the class's document."""

    answer: ClassVar[bytes] = b""
    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.paths += [self.path, self.headers.get("Authorization", "")]
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base's name)
        """Quiet."""


@contextmanager
def serving(answer: object) -> Iterator[tuple[str, list[str]]]:
    body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    handler = type("Answer", (Prometheus,), {"answer": body, "paths": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.paths
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def series(metric: str, instance: str, *values: float, model: str = "ocr") -> dict[str, Any]:
    labels = {"__name__": metric, "instance": instance, "model": model, "version": "1"}
    return {
        "metric": labels,
        "values": [[1_000_000 + 60 * n, str(value)] for n, value in enumerate(values)],
    }


def matrix(*result: dict[str, Any]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "matrix", "result": list(result)}}


def test_a_metrics_page_adds_versions_and_reasons() -> None:
    counters = counters_of_metrics(PAGE)["ocr"]
    assert (counters.requests, counters.failures) == (100.0, 5.0)
    assert (counters.inferences, counters.executions) == (400.0, 100.0)
    assert (counters.queue_us, counters.compute_us) == (5000.0, 71000.0)


@pytest.mark.parametrize("text", ["", "<html>", "up 1", 'nv_inference_count{model="x" 3'])
def test_a_page_of_something_else_is_empty(text: str) -> None:
    assert counters_of_metrics(text) == {}


def test_a_history_of_two_replicas_of_which_one_restarts() -> None:
    success = "nv_inference_request_success"
    answer = matrix(
        series(success, "a:8002", 0, 600, 1200, 1800),
        series(success, "b:8002", 5000, 5600, 300, 900),
        series("nv_inference_exec_count", "a:8002", 0, 300, 600, 900),
    )
    with serving(answer) as (url, paths):
        found = prometheus_history(url, 0.0, 600.0, 60.0, 'job="triton"')["ocr"]
    assert [step.rate for step in found.steps] == [20.0, 15.0, 20.0]
    assert (found.restarts, found.sources) == (1, 2)
    assert "query_range" in paths[0]
    assert "job%3D%22triton%22" in paths[0]


def test_holes_and_odd_samples_are_left_out() -> None:
    one = series("nv_inference_request_success", "a", 0, 60, 120)
    one["values"][1][1] = "NaN"
    one["values"].append("odd")
    with serving(matrix(one)) as (url, _):
        found = prometheus_history(url, 0.0, 600.0, 60.0)["ocr"]
    assert [(step.seconds, step.rate) for step in found.steps] == [(120.0, 1.0)]


def test_a_model_that_was_read_once_agrees_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(matrix(series("nv_inference_request_success", "a:8002", 5))) as (url, _):
        assert main(["observe", "--prometheus", url]) == 0
    said = capsys.readouterr().out
    assert "TG981" in said
    assert "fewer than twice" in said
    assert "agrees" not in said


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("<html>Grafana</html>", "no Prometheus"),
        ({"status": "error", "error": "bad_data: parse error"}, "parse error"),
        (matrix(), "no metric of Triton"),
        ([], "an error"),
    ],
)
def test_answers_without_counters(answer: object, says: str) -> None:
    with serving(answer) as (url, _), pytest.raises(EnvironmentProblem, match=says) as caught:
        prometheus_history(url, 0.0, 60.0, 1.0)
    assert caught.value.code == "TG980"


@pytest.mark.parametrize("url", ["ftp://host", "http://"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        prometheus_history(url, 0.0, 60.0, 1.0)
    assert (caught.value.code, caught.value.where) == ("TG980", url)
    assert "http://host:9090" in caught.value.fix


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:1"])
def test_an_address_where_nobody_answers(url: str) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        prometheus_history(url, 0.0, 60.0, 1.0)
    assert caught.value.code == "TG980"


@pytest.mark.parametrize(
    "url", ["http://user:s3cret@127.0.0.1:1", "user:s3cret@127.0.0.1:1", "ftp://user:s3/cr3t@h"]
)
def test_a_password_in_an_address_is_not_repeated(url: str) -> None:
    with pytest.raises(TritongenError) as caught:
        prometheus_history(url, 0.0, 60.0, 1.0)
    assert caught.value.code == "TG980"
    assert "***@" in caught.value.where
    assert "s3" not in str(caught.value)
    assert "user" not in str(caught.value)


def test_a_password_in_an_address_is_sent_and_not_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    answer = matrix(series("nv_inference_request_success", "a", 0, 60, 120))
    with serving(answer) as (url, seen):
        address = url.replace("//", "//user:s3cr%40t@")
        main(["observe", "--prometheus", address, "--format", "json"])
    assert seen[1] == "Basic " + b64encode(b"user:s3cr@t").decode()
    out, err = capsys.readouterr()
    assert json.loads(out)["source"] == url.replace("//", "//***@")
    assert "s3cr" not in out + err


def test_the_statistics_of_versions_add_up_and_times_are_microseconds():
    def version(number: str, requests: int) -> dict[str, object]:
        times = {
            name: {"count": requests, "ns": requests * each}
            for name, each in (
                ("success", 9000), ("queue", 2000), ("compute_input", 1000),
                ("compute_infer", 3000), ("compute_output", 500),
            )
        }  # fmt: skip
        return {
            "name": "m", "version": number, "inference_count": 2 * requests,
            "execution_count": requests, "inference_stats": {**times, "fail": {"count": 1}},
        }  # fmt: skip

    (found,) = counters_of_statistics([version("1", 10), version("2", 30)]).values()
    assert (found.requests, found.failures, found.inferences, found.executions) == (40, 2, 80, 40)
    assert (found.request_us, found.queue_us, found.compute_us) == (360.0, 80.0, 180.0)
