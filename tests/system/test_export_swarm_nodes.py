"""The Swarm stack on two nodes: replicas on both, an update, and one node that is gone."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from support.export_stack import Stack, docker, eventually, statistics, two_models
from support.second_node import FIRST, Node, second_node
from support.swarm_load import Client, Load, connection_each, stream_each


@pytest.fixture(scope="module")
def node(slim_image: str) -> Iterator[Node]:
    """The second node of a Swarm whose first one is this engine."""
    with second_node() as second:
        docker("swarm", "init", "--advertise-addr", FIRST, "--listen-addr", f"{FIRST}:2377")
        try:
            second.give(slim_image)
            yield second
        finally:
            docker("swarm", "leave", "--force")


@pytest.fixture(scope="module")
def stack(node: Node, slim_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose gateway is on the first node, before the second one joins."""
    folder = tmp_path_factory.mktemp("nodes")
    deployed = Stack(two_models(folder), f"shop-{os.getpid()}", slim_image)
    try:
        deployed.deploy()
        deployed.wait(2)
        node.join()
        yield deployed
    finally:
        deployed.remove()


def nodes_of(stack: Stack) -> list[str]:
    """The nodes on which replicas run, a name for each replica."""
    words = ("--format", "{{.Node}} {{.CurrentState}}", "--filter", "desired-state=running")
    lines = docker("service", "ps", *words, stack.service).splitlines()
    return sorted(line.split()[0] for line in lines if line.split()[1] == "Running")


@pytest.fixture
def at_work(stack: Stack) -> Iterator[list[Any]]:
    """Loads and clients that end with the test."""
    working: list[Any] = []
    yield working
    for one in working:
        one.stop()


def spread(stack: Stack) -> None:
    """Have replicas on both nodes: Swarm takes the node with the fewest, so at most twice."""
    for _ in range(2):
        if len(set(nodes_of(stack))) < 2:
            docker("service", "update", "--force", "--detach", stack.service)
            stack.wait_updated()
    assert len(set(nodes_of(stack))) == 2, stack.story()


def test_updates_that_move_replicas_between_nodes_lose_nothing(stack: Stack, at_work: list[Any]):
    clients = [Client(connection_each(stack)), Client(stream_each(stack))]
    loads = [Load(stack, "http", 60, 30), Load(stack, "grpc", 60, 30)]
    at_work += [*clients, *loads]
    for client in clients:
        client.start()
    for _ in range(2):
        docker("service", "update", "--force", "--detach", stack.service)
        stack.wait_updated()
        assert "second" in nodes_of(stack), stack.story()
    for one in loads:
        requests = one.requests()
        assert requests["failed"] == 0, (requests, stack.story())
    for client in clients:
        client.stop()
        assert client.failed == [], stack.story()
        assert client.sent > 300


def test_of_a_node_that_is_gone_only_what_was_under_way_is_lost(
    stack: Stack, node: Node, at_work: list[Any]
):
    spread(stack)
    loads = [Load(stack, "http", 60, 30), Load(stack, "grpc", 60, 30)]
    at_work += loads
    (near,) = stack.replicas()
    before = statistics(near, "digits")
    eventually(lambda: statistics(near, "digits") > before + 100)
    node.cut_off()
    try:
        eventually(lambda: len(stack.replicas()) == 2 and stack.answers(), story=stack.story)
        outcomes = [one.requests() for one in loads]
    finally:
        node.let_back()
    for requests in outcomes:
        assert requests["ok"] + requests["failed"] == requests["sent"]
        # The gateway notices within seconds, and what it had sent there gets no answer.
        assert requests["failed"] <= 10, (requests, stack.story())
        assert {*requests["failures_by_code"]} <= {"TIMEOUT"}, requests
