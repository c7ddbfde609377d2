"""The Swarm stack, really deployed: two replicas, load, an update, a kill, and nothing left."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from support.closed_apis import open_calls
from support.export_stack import (
    Stack,
    address_of,
    docker,
    eventually,
    http,
    rebuild,
    statistics,
    swarm_node,
    two_models,
)


@pytest.fixture(scope="module")
def stack(slim_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two replicas of two models behind a gateway; removed without a trace."""
    with swarm_node():
        folder = tmp_path_factory.mktemp("swarm")
        deployed = Stack(two_models(folder), f"shop-{os.getpid()}", slim_image)
        try:
            deployed.deploy()
            deployed.wait(2)
            yield deployed
        finally:
            deployed.remove()


class Load:
    """A probe that runs beside the test, for so many seconds.

    Args:
        stack: whose gateway is asked.
        protocol: http or grpc.
        seconds: of load.
    """

    def __init__(self, stack: Stack, protocol: str, seconds: int) -> None:
        port = stack.http if protocol == "http" else stack.grpc
        self._process = stack.project.start(
            "probe", "-u", f"127.0.0.1:{port}", "--protocol", protocol, "-m", "digits",
            "--rate", "15", "--duration", str(seconds), "--format", "json",
        )  # fmt: skip

    def requests(self) -> dict[str, Any]:
        """What became of the requests."""
        out, err = self._process.communicate(timeout=400)
        assert self._process.returncode == 0, err
        return json.loads(out)["levels"][0]["requests"]

    def stop(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def load(stack: Stack) -> Iterator[Any]:
    """Starts loads that end with the test."""
    loads: list[Load] = []

    def start(protocol: str, seconds: int) -> Load:
        loads.append(Load(stack, protocol, seconds))
        return loads[-1]

    yield start
    for one in loads:
        one.stop()


def test_both_replicas_answer_behind_one_port(stack, load):
    before = {one: statistics(one, "digits") for one in stack.replicas()}
    answers = [load("http", 6), load("grpc", 6)]
    sent = 0
    for answer in answers:
        requests = answer.requests()
        assert requests["failed"] == 0
        sent += requests["ok"]
    gained = [statistics(one, "digits") - count for one, count in before.items()]
    assert len(gained) == 2
    assert all(count > sent / 5 for count in gained)


@pytest.mark.parametrize(("protocol", "port"), [("http", 8000), ("grpc", 8001)])
def test_the_probe_drives_both_replicas_itself_and_merges(stack, protocol, port):
    replicas = stack.replicas()
    before = [statistics(one, "digits") for one in replicas]
    url = ",".join(f"{address_of(one)}:{port}" for one in replicas)
    words = ("-u", url, "--protocol", protocol, "-m", "digits", "--duration", "3")
    report = stack.project.json("probe", *words, "--concurrency", "4")
    (level,) = report["levels"]
    requests = level["requests"]
    assert requests["failed"] == 0
    gained = [
        statistics(one, "digits") - count for one, count in zip(replicas, before, strict=True)
    ]
    # Warm-up and the first look are requests, too.
    assert sum(gained) >= requests["ok"]
    assert min(gained) > requests["ok"] / 10
    # One connection fewer than replicas is a load as well.
    (alone,) = stack.project.json("probe", *words, "--concurrency", "1")["levels"]
    assert alone["requests"]["failed"] == 0


def test_a_replica_that_cannot_be_reached_is_told(stack):
    (first, _) = map(address_of, stack.replicas())
    problem = stack.project.error(
        "probe", "-u", f"{first}:8000,127.0.0.1:1", "-m", "digits", expect=3
    )
    assert problem["code"] == "TG901"


def test_prometheus_finds_every_replica_by_itself(stack):
    stack.watch()

    def found() -> bool:
        status, body = http(f"127.0.0.1:{stack.prometheus}", "/api/v1/query?query=up")
        values = (
            [one["value"][1] for one in json.loads(body)["data"]["result"]] if status == 200 else []
        )
        return values == ["1", "1"]

    eventually(found, story=stack.story)
    status, body = http(f"127.0.0.1:{stack.prometheus}", "/api/v1/rules")
    assert status == 200
    groups = json.loads(body)["data"]["groups"]
    assert {group["name"] for group in groups} == {"triton", "triton-alerts"}


def test_nobody_controls_a_replica_through_the_gateway(stack):
    grpc = f"127.0.0.1:{stack.grpc}"
    assert list(open_calls(lambda path, method: stack.get(path, method)[0], grpc)) == []
    assert stack.get("/v2/models/digits/trace/setting", "POST")[0] == 403
    assert stack.get("/v2/models/digits/ready")[0] == 200


def test_nobody_controls_a_replica_past_the_gateway(stack):
    keys = set()
    for replica in stack.replicas():
        place = address_of(replica)
        found = open_calls(lambda path, method, at=place: http(f"{at}:8000", path, method)[0],
                           f"{place}:8001")  # fmt: skip
        assert list(found) == []
        keys.add(re.search(r"tritongen-closed=([0-9a-f]{32})\b", docker("top", replica))[1])
        assert "tritongen-closed=$key" in docker("inspect", replica)
    assert len(keys) == 2


def test_scaled_to_three_and_back(stack):
    docker("service", "scale", "--detach", f"{stack.service}=3")
    stack.wait(3)
    docker("service", "scale", "--detach", f"{stack.service}=2")
    stack.wait(2)


def test_a_changed_configuration_reaches_every_replica_without_a_failed_request(stack, load):
    old = set(stack.replicas())
    edition = edition_of(stack) + 1
    answers = [load("http", 50), load("grpc", 50)]
    rebuild(stack.project, edition)
    stack.deploy()
    stack.wait_updated()
    for answer in answers:
        requests = answer.requests()
        if requests["failed"]:
            print(requests, stack.story(), sep="\n")
        assert requests["failed"] == 0
        assert requests["ok"] == requests["sent"]
    stack.wait(2)
    assert not old & set(stack.replicas())
    assert {edition_of(stack) for _ in range(6)} == {edition}


def edition_of(stack: Stack) -> int:
    """Of the configuration of `digits`, as whichever replica answers has it."""
    config = json.loads(stack.get("/v2/models/digits/config")[1])
    return int(config["metric_tags"]["edition"])


def test_a_killed_replica_is_replaced_and_its_failures_are_counted(stack, load):
    victim, *_ = stack.replicas()
    answers = [load("http", 20), load("grpc", 20)]
    eventually(lambda: statistics(victim, "digits") > 20)
    docker("kill", victim)
    for answer in answers:
        requests = answer.requests()
        # The gateway sends what was not answered to the other replica; what it cannot is told.
        assert requests["ok"] + requests["failed"] == requests["sent"]
        assert requests["failed"] <= 3, requests
    stack.wait(2)
    assert victim not in stack.replicas()


def test_a_configuration_that_was_edited_by_hand_is_refused_by_the_engine(stack):
    path = stack.project.config("breast_cancer")
    text = path.read_text()
    path.write_text(text + "# edited\n")
    try:
        done = subprocess.run(
            ["docker", "stack", "deploy", "-c", "stack.yaml", stack.name],
            cwd=stack.project.folder / "stack", env=stack.environment, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode != 0
        assert "config" in done.stderr
    finally:
        path.write_text(text)
    stack.wait(2)
