"""The Swarm stack, really deployed: two replicas, load, an update, a kill, and nothing left."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.closed_apis import open_calls
from support.export_stack import (
    KeptStream,
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
from support.swarm_load import Client, Load, connection_each, stream_each


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


@pytest.fixture(autouse=True)
def settled(stack: Stack) -> None:
    """Each test begins with two replicas, none of which is about to end."""
    stack.wait(2)


@pytest.fixture
def load(stack: Stack) -> Iterator[Any]:
    """Starts loads that end with the test."""
    loads: list[Load] = []

    def start(protocol: str, seconds: int, *more: Any) -> Load:
        loads.append(Load(stack, protocol, seconds, *more))
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


def test_a_stream_that_is_kept_is_told_when_its_replica_ends(stack):
    old, kept = set(stack.replicas()), KeptStream(stack)
    kept.start()
    try:
        eventually(lambda: kept.answered > 20)
        docker("service", "update", "--force", "--detach", stack.service)
        eventually(
            lambda: len(new := set(stack.replicas())) == 2 and not new & old, story=stack.story
        )
        before = kept.answered
        eventually(lambda: kept.answered > before + 20)
    finally:
        kept.end()
    stack.wait(2)
    # Nobody waits in vain, and each refusal is one request that is sent again.
    assert kept.silent == 0
    assert 1 <= len(kept.refused) <= 4, kept.refused


@pytest.fixture
def clients(stack: Stack) -> Iterator[list[Client]]:
    """Such clients, at work until the test ends them."""
    working = [Client(connection_each(stack)), Client(stream_each(stack))]
    for client in working:
        client.start()
    yield working
    for client in working:
        client.stop()


def test_ten_thousand_requests_survive_scaling_an_update_and_its_undoing(stack, load, clients):
    old, edition, digest = set(stack.replicas()), edition_of(stack), digest_of(stack)
    seconds = 150
    loads = [load("http", seconds, 30), load("grpc", seconds, 30)]
    docker("service", "scale", "--detach", f"{stack.service}=3")
    stack.wait(3)
    docker("service", "scale", "--detach", f"{stack.service}=2")
    stack.wait(2)
    rebuild(stack.project, edition + 1)
    stack.deploy()
    stack.wait_updated()
    stack.wait(2)
    assert not old & set(stack.replicas())
    assert {edition_of(stack) for _ in range(6)} == {edition + 1}
    assert digest_of(stack) != digest
    docker("service", "rollback", "--detach", stack.service)
    stack.wait_rolled_back()
    stack.wait(2)
    # The old configuration is served, under the old digest.
    assert {edition_of(stack) for _ in range(6)} == {edition}
    assert digest_of(stack) == digest
    outcomes = [one.requests() for one in loads]
    for client in clients:
        client.stop()
        assert client.failed == [], stack.story()
    for requests in outcomes:
        assert requests["failed"] == 0, (requests, stack.story())
        assert requests["ok"] == requests["sent"]
    sent = [client.sent for client in clients]
    assert min(sent) > 1000
    assert sum(sent) + sum(requests["ok"] for requests in outcomes) > 10_000


def digest_of(stack: Stack) -> str:
    """Of the repository, as the replicas that run are labelled."""
    (digest,) = {
        docker("inspect", one, "--format", '{{index .Config.Labels "tritongen.repository"}}')
        for one in stack.replicas()
    }
    return digest


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


def test_probes_inside_the_swarm_begin_together_and_are_merged(stack, tool_image):
    job = f"{stack.name}-load"
    service = f"{job}_{stack.name}-probe"
    begin = int(time.time()) + 45
    environment = {
        **os.environ, "PROBE_IMAGE": tool_image, "START_AT": str(begin), "PROBE_CPUS": "0.1",
        "TRITON_PROBE_LOAD": "2", "PROBE_DURATION": "8s",
    }  # fmt: skip
    docker(
        "stack", "deploy", "-c", "probe.yaml", "--resolve-image", "never", job,
        cwd=stack.project.folder / "stack", env=environment,
    )  # fmt: skip
    try:
        states = ("service", "ps", "--format", "{{.CurrentState}}", service)
        ended = ("Complete", "Failed", "Rejected")
        eventually(
            lambda: (
                len(lines := docker(*states).splitlines()) == 2
                and all(line.startswith(ended) for line in lines)
            ),
            seconds=300,
        )
        files = []
        for task in docker("service", "ps", "-q", service).split():
            text = docker("service", "logs", "--raw", task)
            files.append(f"{task}.json")
            stack.project.write(files[-1], text)
        merged = stack.project.json("probe", "--merge", *files)
    finally:
        docker("stack", "rm", job)
        eventually(lambda: not docker("ps", "-q", "-f", f"name={service}."))
    halves = [json.loads((stack.project.folder / file).read_text()) for file in files]
    assert len({one["environment"]["seed"] for one in halves}) == 2
    for index, level in enumerate(merged["levels"]):
        parts = [one["levels"][index] for one in halves]
        assert level["requests"]["failed"] == 0
        assert level["requests"]["ok"] == sum(one["requests"]["ok"] for one in parts)
        assert level["load"]["value"] == sum(one["load"]["value"] for one in parts)
    assert merged["environment"]["machine"]["probes"] == 2
