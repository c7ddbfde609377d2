"""`tritongen probe` on a real Triton: every kind of model, both protocols, every question."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from support.cli import SERVED, Project
from support.docker import start_container
from support.probe_models import fill, python_config
from support.serving_models import config_text, identity
from support.triton import EmbeddedRuntime, TestServer, start_server, write_model
from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.level import Conditions
from tritongen.probe.load_job import InputOptions, prepare_job
from tritongen.probe.prober import Prober
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.serving.protocol import ModelControl
from tritongen.triton.address import Endpoint
from tritongen.triton.control import ServerControl
from tritongen.triton.server import Endpoints
from tritongen.triton.server_state import StateStore, project_label

QUICK = ("--duration", "0.6")


@dataclass(frozen=True)
class Live:
    """A server and a folder to run the tool in."""

    server: TestServer
    project: Project

    def address(self, protocol: str) -> list[str]:
        ends = self.server.server.endpoints
        return ["-u", ends.http if protocol == "http" else ends.grpc, "--protocol", protocol]

    def level(self, protocol: str, model: str, *arguments: str, expect: int = 0) -> dict:
        words = ("probe", *self.address(protocol), "-m", model, *QUICK, *arguments)
        return self.project.json(*words, expect=expect)["levels"][0]


@contextmanager
def started(runtime: EmbeddedRuntime, folder: Path, *only: str) -> Iterator[Live]:
    """A server with these models of `fill`, or with all."""
    fill(folder / "repository")
    options = {"runtime": runtime, "model_control": ModelControl.EXPLICIT}
    names = only or tuple(sorted(path.name for path in (folder / "repository").iterdir()))
    with start_server(folder / "repository", folder / "state", names, **options) as server:
        for name in names:
            assert server.try_load(name) is None
        project = folder / "project"
        project.mkdir()
        # As if `up` had started it there: the tool knows the key of its own server.
        state = replace(server.server.state, label=project_label(project))
        StateStore(project).write(state)
        yield Live(server, Project(project))


@pytest.fixture(scope="module")
def live(embedded_runtime, tmp_path_factory) -> Iterator[Live]:
    with started(embedded_runtime, tmp_path_factory.mktemp("live")) as found:
        yield found


protocols = pytest.mark.parametrize("protocol", ["http", "grpc"])


@pytest.mark.smoke
@protocols
def test_a_level_has_everything_that_programs_rely_on(live, protocol):
    found = live.level(protocol, "echo", "--concurrency", "4", "--duration", "1")
    assert found["load"]["kind"] == "concurrency"
    assert found["load"]["value"] == 4
    assert found["requests"]["failed"] == 0
    rate = found["throughput_per_s"]
    assert rate["low"] <= rate["value"] <= rate["high"]
    # The rate leaves out the first slots of the window where they still were warm-up.
    begin = found["warmup_s"] - 1e-3
    counted = [moment for moment in found["timeline"] if moment["at_s"] >= begin]
    answered, seconds = (sum(each[key] for each in counted) for key in ("completed", "seconds"))
    assert answered == pytest.approx(rate["value"] * seconds, rel=0.01)
    assert found["requests"]["ok"] >= answered > 0
    for key in ("p50", "p90", "p95", "p99"):
        interval = found["latency_us"][key]
        assert 0 < interval["low"] <= interval["value"] <= interval["high"]
    assert found["client"]["cpu_us_per_request"] > 0
    assert found["client"]["lateness_us"] == {"p50": 0.0, "p99": 0.0}
    server = found["server"]
    assert server["average_batch"] == 1.0
    assert server["compute_infer_us"] > 0
    assert 0 < server["instance_busy_share"] <= 1
    assert server["use_source"] == "process"
    assert server["memory_bytes"] > 10_000_000
    parts = found["attribution"]["parts_us"]
    assert sum(parts.values()) == pytest.approx(found["attribution"]["total_us"], abs=0.1)
    # The server's times are those between its two readings: slots that `latency_us` leaves out
    # as warm-up belong to them.
    window = [each for each in found["timeline"] if not each["warmup"] and each["mean_us"]]
    spent_us = sum(each["completed"] * each["mean_us"] for each in window)
    between = spent_us / sum(each["completed"] for each in window)
    assert found["attribution"]["total_us"] == pytest.approx(between, rel=0.05)
    if window == [each for each in counted if each["mean_us"]]:
        assert found["latency_us"]["mean"]["value"] == pytest.approx(between, rel=0.05)


@protocols
def test_an_open_loop_keeps_its_rate(live, protocol):
    found = live.level(protocol, "echo", "--rate", "150", "--duration", "2")
    assert found["load"]["loop"] == "open"
    assert found["requests"]["failed"] == 0
    assert found["requests"]["sent"] == pytest.approx(300, rel=0.25)
    assert found["client"]["lateness_us"]["p50"] >= 0


KINDS = [
    ("echo", ("--batch", "4")),
    ("echo/1", ()),
    ("strings", ("--shape", "IN:3", "--values", "IN=choice(a,bc,def)")),
    ("single", ("--shape", "IN:2,7")),
    ("large", ()),
    ("large", ("--shm", "--concurrency", "3")),
    ("echo", ("--shm", "--rate", "100")),
    ("picky", ("--values", "IN=int[100,200)")),
    ("stateful", ("--sequence", "5", "--concurrency", "3")),
    ("stateful", ("--sequence", "5", "--rate", "60")),
]


@pytest.mark.smoke
@protocols
@pytest.mark.parametrize(
    ("model", "arguments"), [*KINDS, ("echo", ("--processes", "2", "--concurrency", "4"))]
)
def test_every_kind_of_request_is_answered(live, protocol, model, arguments):
    found = live.level(protocol, model, *arguments)
    assert found["requests"]["failed"] == 0, found["requests"]
    assert found["requests"]["ok"] > 10


@protocols
@pytest.mark.parametrize(("model", "arguments"), KINDS)
def test_tritonclient_sends_every_kind_too(live, protocol, model, arguments):
    found = live.level(protocol, model, *arguments, "--client", "tritonclient")
    assert found["client"]["name"] == "tritonclient"
    assert found["requests"]["failed"] == 0, found["requests"]
    assert found["requests"]["ok"] > 10


def test_nothing_is_left_in_shared_memory(live):
    live.level("http", "large", "--shm", "--concurrency", "2")
    regions = Path("/dev/shm")  # noqa: S108 - where the system keeps shared memory
    assert not list(regions.glob("tritongen_probe_*"))


@pytest.mark.smoke
def test_decoupled_models_are_streamed(live):
    found = live.level("grpc", "decoupled", "--concurrency", "2")
    assert found["requests"]["failed"] == 0
    assert found["requests"]["ok"] > 10
    assert found["engine"] == "tritonclient streams"
    words = ("probe", *live.address("http"), "-m", "decoupled")
    assert live.project.error(*words, expect=2)["code"] == "TG914"
    words = ("probe", *live.address("grpc"), "-m", "decoupled", "--client", "fast")
    error = live.project.error(*words, expect=2)
    assert error["code"] == "TG914"
    assert "--client tritonclient" in error["fix"]


@protocols
def test_a_refused_request_is_bad_input_with_the_servers_words(live, protocol):
    words = ("probe", *live.address(protocol), "-m", "picky")
    error = live.project.error(*words, "--values", "IN=int[0,10)", expect=2)
    assert error["code"] == "TG904"
    assert "id out of range" in error["message"]
    error = live.project.error("probe", *live.address(protocol), "-m", "stateful", expect=2)
    assert "--sequence" in error["fix"]
    error = live.project.error("probe", *live.address(protocol), "-m", "none", expect=3)
    assert error["code"] == "TG903"
    batch = ("-m", "echo", "--batch", "9")
    error = live.project.error("probe", *live.address(protocol), *batch, expect=2)
    assert "batch-size must be <= 8" in error["message"]


def test_a_model_that_refuses_does_not_keep_the_others_from_being_measured(live):
    words = ("probe", *live.address("http"), *QUICK, "-m", "picky", "-m", "echo", "-m", "none")
    found = live.project.json(*words, "--concurrency", "2", expect=2)
    assert [item["model"] for item in found["levels"]] == ["echo"]
    assert found["levels"][0]["requests"]["ok"] > 0
    assert (found["error"]["code"], found["error"]["where"]) == ("TG904", "picky")
    assert found["error"]["details"][0].startswith("TG903 none: ")


@protocols
def test_dynamic_batching_shows_in_the_average_batch(live, protocol):
    found = live.level(protocol, "batching", "--concurrency", "8", "--duration", "1")
    assert found["server"]["average_batch"] > 1.5
    off = live.level(protocol, "slow", "--concurrency", "8", "--duration", "1")
    # Triton counts a request a moment before its execution: one may stand on the edge of the level.
    assert 1.0 <= off["server"]["average_batch"] < 1.05
    assert any("dynamic batching is off" in item["sentence"] for item in off["advice"])
    assert off["attribution"]["parts_us"]["queue"] > off["attribution"]["total_us"] / 2


def test_an_ensemble_tells_of_its_steps(live):
    found = live.level("http", "pipeline", "--concurrency", "2", "--duration", "1")
    assert found["requests"]["failed"] == 0
    steps = {item["model"]: item for item in found["attribution"]["composing"]}
    assert set(steps) == {"echo", "slow"}
    assert steps["slow"]["compute_infer_us"] > 10_000
    parts = found["attribution"]["parts_us"]
    assert parts["compute_infer"] > 10_000
    assert sum(parts.values()) == pytest.approx(found["attribution"]["total_us"], abs=0.1)


@protocols
def test_models_at_once_share_the_load(live, protocol):
    words = ("probe", *live.address(protocol), *QUICK, "-m", "echo=3", "-m", "single=1")
    first, second = live.project.json(*words, "--rate", "200")["levels"]
    assert (first["model"], second["model"]) == ("echo", "single")
    assert first["load"]["share"] == 0.75
    assert first["requests"]["sent"] > 2 * second["requests"]["sent"]


@pytest.mark.smoke
@protocols
def test_values_are_checked_against_a_reference(live, protocol):
    path = live.project.folder / "reference.npz"
    rows = np.arange(32, dtype=np.float32).reshape(8, 4)
    np.savez(path, IN=rows, OUT=rows)
    found = live.level(protocol, "echo", "--data", str(path))
    assert found["requests"]["failed"] == 0
    np.savez(path, IN=rows, OUT=rows + 1)
    words = ("probe", *live.address(protocol), "-m", "echo", "--data", str(path))
    assert live.project.error(*words, expect=3)["code"] == "TG915"


@pytest.mark.measures
def test_two_configurations_are_compared_in_pairs(embedded_runtime, tmp_path):
    with started(embedded_runtime, tmp_path, "slow") as live:
        better = python_config("slow", more="dynamic_batching { }")
        path = live.project.write("better.pbtxt", better)
        before = live.server.client.model_config("slow")
        words = ("probe", *live.address("http"), "-m", "slow", "--concurrency", "8")
        found = live.project.json(*words, "--against", str(path), "--time-budget", "0.8")
        changes = {item["metric"]: item for item in found["comparisons"]}
        assert changes["throughput"]["change"] == "better"
        assert changes["throughput"]["ratio"]["low"] > 1.5
        assert changes["p50"]["change"] == "better"
        assert live.server.client.model_config("slow") == before
        path = live.project.write("broken.pbtxt", "max_batch_size: x")
        error = live.project.error(*words, "--against", str(path), expect=2)
        assert ":1" in error["where"]
        path = live.project.write("refused.pbtxt", better.replace('"python"', '"none"'))
        error = live.project.error(*words, "--against", str(path), expect=3)
        assert error["code"] == "TG913"
        assert live.server.client.model_config("slow") == before
        assert live.server.client.model_ready("slow")


@protocols
@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_compressed_requests_with_parameters_are_answered(live, protocol, kind):
    words = ("--compression", kind, "--request-parameter", "max_tokens:256:int")
    found = live.level(protocol, "large", "--concurrency", "2", *words)
    assert found["client"]["name"] == "tritonclient"
    assert (found["requests"]["failed"], found["requests"]["ok"] > 0) == (0, True)
    refused = ("probe", *live.address(protocol), "-m", "large", "--client", "fast", *words)
    assert live.project.error(*refused, expect=2)["code"] == "TG914"


def test_streams_are_compressed_too(live):
    found = live.level("grpc", "decoupled", "--concurrency", "2", "--compression", "gzip")
    assert found["requests"]["failed"] == 0


@protocols
@pytest.mark.parametrize("client", ["fast", "tritonclient"])
def test_parameters_travel_with_every_request(live, protocol, client):
    words = [
        word
        for one in ("a:1:int", "b:x:string", "c:true:bool")
        for word in ("--request-parameter", one)
    ]
    found = live.level(protocol, "echo", "--client", client, *words)
    assert (found["requests"]["failed"], found["requests"]["ok"] > 0) == (0, True)
    found = live.level(protocol, "stateful", "--sequence", "5", "--client", client, *words)
    assert found["requests"]["failed"] == 0


@protocols
def test_the_library_measures_level_after_level_over_the_same_connections(live, protocol):
    kind = ClientProtocol(protocol)
    ends: Endpoints = live.server.server.endpoints
    url = ends.http if kind is ClientProtocol.HTTP else ends.grpc
    endpoint = Endpoint.parse(url, protocol=kind)
    control = ServerControl(endpoint)
    job = prepare_job(control, "echo", InputOptions(seed=3))
    short = Conditions(budget_s=0.3, fixed=True, warmup_s=0.1)
    with Prober(endpoint, control, [job]) as prober:
        prober.check()
        for load in (ClosedLoop(1), ClosedLoop(4), OpenLoop(100.0), ClosedLoop(2)):
            result = prober.run(load, short).results[0]
            assert result.requests.failed == 0
            assert result.requests.ok > 5
            assert result.attribution is not None
    control.close()


def test_without_a_name_every_ready_model_is_probed_on_the_projects_server(served):
    found = served.json("probe", "--duration", "0.3", "--concurrency", "2")
    assert [item["model"] for item in found["levels"]] == list(SERVED)
    assert all(item["requests"]["failed"] == 0 for item in found["levels"])
    assert set(found["environment"]["configurations"]) == set(SERVED)
    text = served.run("probe", "-m", "dense", "--duration", "0.3", "--protocol", "grpc").out
    assert "dense" in text
    assert "c = 8" in text
    found = served.json("probe", "-m", "twice/1", "--duration", "0.3", expect=None)
    assert found["error"]["code"] == "TG903" or found["levels"][0]["version"] == "1"


@protocols
def test_a_triton_in_a_container_is_probed(protocol, slim_image, tmp_path):
    repository = tmp_path / "model_repository"
    write_model(repository, "good", config_text(), {"1/model.onnx": identity()})
    project = Project(tmp_path)
    with start_container(slim_image, repository, tmp_path / "state") as (server, _):
        ends = server.endpoints
        url = ends.http if protocol == "http" else ends.grpc
        words = ("probe", "-u", url, "--protocol", protocol, "-m", "good", *QUICK)
        (found,) = project.json(*words, "--concurrency", "4")["levels"]
        (late,) = project.json(*words, "--rate", "50")["levels"]
    for level in (found, late):
        assert level["requests"]["failed"] == 0
        assert level["requests"]["ok"] > 10
        assert level["server"]["average_batch"] >= 1.0
