"""The Compose export, really started: Triton serves, Debian's Prometheus scrapes it."""

import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.closed_apis import open_calls
from support.export_stack import ROOT, docker, eventually, free_ports, http, two_models
from support.exports import language_model, rendered

# Debian's Prometheus in the slim image: the same program as in the official one.
OVERRIDE = """\
services:
  prometheus:
    entrypoint: [/usr/bin/prometheus]
    user: "0:0"
    volumes:
      - {type: bind, source: /usr/bin/prometheus, target: /usr/bin/prometheus, read_only: true}
"""


class Composed:
    """A project whose Compose file runs.

    Args:
        folder: of the project.
        image: Triton's.
    """

    def __init__(self, folder: Path, image: str) -> None:
        self.project = two_models(folder)
        self.project.run("export", "compose", "-o", "compose")
        self.folder = folder / "compose"
        (folder / "prometheus.yaml").write_text(OVERRIDE)
        self.http, self.grpc, self.metrics, self.prometheus = free_ports(4)
        self.name = f"compose-{os.getpid()}"
        self.environment = {
            **os.environ,
            "TRITON_IMAGE": image,
            "PROMETHEUS_IMAGE": image,
            "TRITON_CPUS": "1",
            "TRITON_HTTP_PORT": str(self.http),
            "TRITON_GRPC_PORT": str(self.grpc),
            "TRITON_METRICS_PORT": str(self.metrics),
            "PROMETHEUS_PORT": str(self.prometheus),
        }

    def compose(self, *words: str) -> str:
        """A command of Docker Compose."""
        files = ("-f", "compose.yaml", "-f", "../prometheus.yaml")
        return docker(
            "compose", "-p", self.name, *files, *words, cwd=self.folder, env=self.environment
        )

    def ask(self, path: str, **query: str) -> Any:
        """An answer of Prometheus."""
        whole = f"{path}?{urllib.parse.urlencode(query)}"
        status, body = http(f"127.0.0.1:{self.prometheus}", whole)
        assert status == 200, (whole, body)
        return json.loads(body)["data"]

    def scraped(self) -> bool:
        """Whether Prometheus has found the server to be up."""
        status, body = http(f"127.0.0.1:{self.prometheus}", "/api/v1/query?query=up")
        return status == 200 and b'"1"]' in body

    def values(self, query: str) -> list[float]:
        """Values of a query now."""
        return [float(one["value"][1]) for one in self.ask("/api/v1/query", query=query)["result"]]


@pytest.fixture(scope="module")
def composed(slim_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """Triton and Prometheus; gone when the module's tests are done."""
    running = Composed(tmp_path_factory.mktemp("compose"), slim_image)
    try:
        running.compose("up", "--detach", "--wait", "--wait-timeout", "170", "triton")
        running.compose("up", "--detach", "prometheus")
        yield running
    finally:
        running.compose("down", "--volumes", "--timeout", "1")
    label = f"label=com.docker.compose.project={running.name}"
    assert docker("ps", "-aq", "-f", label) + docker("volume", "ls", "-q", "-f", label) == ""


def test_the_server_serves_what_was_built(composed):
    composed.project.run(
        "probe", "-u", f"127.0.0.1:{composed.http}", "-m", "digits", "-m", "breast_cancer",
        "--concurrency", "2", "--duration", "2",
    )  # fmt: skip
    report = composed.project.json(
        "probe", "-u", f"127.0.0.1:{composed.grpc}", "--protocol", "grpc", "-m", "digits",
        "--concurrency", "2", "--duration", "2",
    )  # fmt: skip
    assert report["levels"][0]["requests"]["failed"] == 0


def test_status_asks_for_the_models_of_the_repository(composed):
    for address in (f"127.0.0.1:{composed.http}", f"grpc://127.0.0.1:{composed.grpc}"):
        status = composed.project.json("status", "-u", address, "model_repository")
        assert {model["name"]: model["ready"] for model in status["models"]} == {
            "breast_cancer": True, "digits": True,
        }  # fmt: skip
        assert status["drift"] == []


def test_nobody_controls_the_server(composed):
    digest = re.search(
        r'tritongen.repository: "(.*)"', (composed.folder / "compose.yaml").read_text()
    )
    public = digest[1][:32]
    for key in ("", public, "$key"):

        def ask(path: str, method: str, key: str = key) -> int:
            headers = {"tritongen-closed": key} if key else {}
            return http(f"127.0.0.1:{composed.http}", path, method, headers)[0]

        assert list(open_calls(ask, f"127.0.0.1:{composed.grpc}", key)) == []
    assert http(f"127.0.0.1:{composed.http}", "/v2/models/digits/config")[0] == 200


def test_the_container_is_the_one_that_was_planned(composed):
    (container,) = composed.compose("ps", "-q", "triton").split()
    (facts,) = json.loads(docker("inspect", container))
    host, config = facts["HostConfig"], facts["Config"]
    # TRITON_CPUS, where the machine has fewer than planned.
    assert host["NanoCpus"] == 1_000_000_000
    assert host["Memory"] == host["MemorySwap"] == 1 << 30
    assert host["ShmSize"] == 64 << 20
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert config["User"] == "1000:1000"
    assert config["StopTimeout"] == 35
    assert {one["HostIp"] for ports in host["PortBindings"].values() for one in ports} == {
        "127.0.0.1"
    }
    variables = dict(entry.split("=", 1) for entry in config["Env"])
    assert variables["ORT_DISABLE_TELEMETRY"] == "1"
    assert variables["OMP_NUM_THREADS"] == "1"
    (mount,) = (one for one in facts["Mounts"] if one["Destination"] == "/models")
    assert not mount["RW"]


@pytest.fixture
def under_load(composed: Composed) -> Iterator[Composed]:
    """The same with requests for `digits`, scraped by Prometheus."""
    eventually(composed.scraped)
    load = composed.project.start(
        "probe", "-u", f"127.0.0.1:{composed.http}", "-m", "digits", "--rate", "20",
        "--duration", "150",
    )  # fmt: skip
    try:
        yield composed
    finally:
        load.kill()
        load.communicate()


def test_prometheus_scrapes_every_metric_that_rules_and_dashboard_name(under_load):
    # Two scrapes with load between them.
    for record in ("triton:requests:rate1m", "triton:instance_use:share1m"):
        eventually(lambda name=record: [v for v in under_load.values(name) if v > 0])
    known = set(under_load.ask("/api/v1/label/__name__/values"))
    named = {
        metric
        for path in ("prometheus/rules.yml", "grafana/dashboards/triton.json")
        for metric in re.findall(r"\bnv_\w+", (under_load.folder / path).read_text())
    }
    # Triton counts failures from the first one on.
    assert named - known <= {"nv_inference_request_failure"}
    groups = under_load.ask("/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules
    assert {rule["health"] for rule in rules} == {"ok"}


def test_every_panel_of_the_dashboard_has_something_to_show(under_load):
    text = (under_load.folder / "grafana/dashboards/triton.json").read_text()
    queries = {
        (panel["title"], target["expr"].replace("$model", ".*"))
        for panel in json.loads(text)["panels"]
        for target in panel["targets"]
    }

    def shown() -> bool:
        empty = {title for title, query in queries if not under_load.values(query)}
        return empty <= {"Failures"}

    eventually(shown)


def test_the_committed_example_is_current():
    """`tritongen export compose --models demo/models` in the checkout changes nothing."""
    words = ["export", "compose", "-o", "compose", "--models", "demo/models", "--check"]
    done = subprocess.run(
        [sys.executable, "-m", "tritongen", *words], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cache_is_the_servers_own_and_outlives_it(slim_image, tmp_path):
    """The services of an exported file; a shell stands for Triton, which would want GPUs."""
    (whole,) = rendered("compose", language_model())["compose.yaml"]
    server, owner = whole["services"]["vision"], whole["services"]["vision-cache"]
    mounts = [mount for mount in server["volumes"] if mount["type"] == "volume"]
    places = [mount["target"] for mount in mounts]
    script = "for place; do test -w $$place && date >> $$place/x && wc -l < $$place/x; done"
    alone = {"image": slim_image, "volumes": mounts, "entrypoint": ["sh", "-c", script, "sh"]}
    alone |= {key: server[key] for key in ("user", "depends_on", "cap_drop", "tmpfs")}
    services = {"vision": {**alone, "command": places}}
    services["vision-cache"] = {**owner, "image": slim_image}
    volumes = {name: whole["volumes"][name] for name in ("vision-hub", "vision-engines")}
    (tmp_path / "compose.yaml").write_text(json.dumps({"services": services, "volumes": volumes}))
    project = ("compose", "-p", f"cache-{os.getpid()}")
    try:
        for line in ("1", "2"):
            told = docker(*project, "run", "--rm", "vision", cwd=tmp_path)
            assert told.split()[-2:] == [line, line]
    finally:
        docker(*project, "down", "--volumes", cwd=tmp_path)
