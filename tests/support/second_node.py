"""A second node of a Swarm on this machine: a Docker Engine in a network namespace of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support.export_stack import docker, eventually

# Of the block for measurements between networks (RFC 2544), which no one routes.
FIRST, SECOND = "198.18.77.1", "198.18.77.2"
_NAMES = {"namespace": "tritongen-node", "here": "tritongen-n0", "there": "tritongen-n1"}


class Node:
    """The second engine.

    Args:
        folder: for its data, its socket and what it logs.
        process: its daemon.
    """

    def __init__(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        self._host = ("-H", f"unix://{folder}/docker.sock")
        self._process = process

    def docker(self, *arguments: str, check: bool = True) -> str:
        """A Docker command's output, of this engine."""
        return docker(*self._host, *arguments, check=check)

    def give(self, image: str) -> None:
        """An image of the first engine."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            words = ["docker", *self._host, "load"]
            subprocess.run(words, stdin=saved.stdout, check=True, capture_output=True)

    def join(self) -> None:
        """Become a worker of the first engine's Swarm."""
        token = docker("swarm", "join-token", "-q", "worker")
        words = ("--token", token, "--advertise-addr", SECOND, "--listen-addr", f"{SECOND}:2377")
        self.docker("swarm", "join", *words, f"{FIRST}:2377")

    def cut_off(self) -> None:
        """From here on nothing reaches it and nothing comes back, as without power."""
        _run(f"ip link set {_NAMES['here']} down")

    def let_back(self) -> None:
        """The opposite; it is back when the first engine says so."""
        _run(f"ip link set {_NAMES['here']} up")
        states = ("node", "ls", "--format", "{{.Status}}")
        eventually(lambda: docker(*states).split() == ["Ready", "Ready"])

    def end(self) -> None:
        """Its containers and itself."""
        self.docker("swarm", "leave", "--force", check=False)
        for one in self.docker("ps", "-aq", check=False).split():
            self.docker("rm", "-f", one, check=False)
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(60)


def _run(command: str, *, check: bool = True) -> None:
    subprocess.run(command.split(), check=check, capture_output=not check)


@contextlib.contextmanager
def second_node() -> Iterator[Node]:
    """A second engine that reaches the first one; gone when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="tgn-", dir="/tmp"))
    space, here, there = _NAMES["namespace"], _NAMES["here"], _NAMES["there"]
    for command in (
        f"ip netns add {space}",
        f"ip link add {here} type veth peer name {there} netns {space}",
        f"ip address add {FIRST}/30 dev {here}",
        f"ip link set {here} up",
        f"ip -n {space} address add {SECOND}/30 dev {there}",
        f"ip -n {space} link set {there} up",
        f"ip -n {space} link set lo up",
    ):
        _run(command)
    daemon = (
        f"hostname second && exec dockerd -H unix://{folder}/docker.sock "
        f"--data-root {folder}/data --exec-root {folder}/exec --pidfile {folder}/pid"
    )
    # Not `ip netns exec`, whose own /sys has no control groups.
    inside = ["nsenter", f"--net=/run/netns/{space}", "unshare", "--uts", "sh", "-c", daemon]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(inside, stdout=log, stderr=log, start_new_session=True)
    node = Node(folder, process)
    try:
        eventually(
            lambda: node.docker("info", "-f", "{{.ServerVersion}}", check=False),
            seconds=30.0,
            story=(folder / "log").read_text,
        )
        yield node
    finally:
        node.end()
        log.close()
        _run(f"ip netns delete {space}", check=False)
        _run(f"ip link delete {here}", check=False)
        for place in (folder / "exec/netns").glob("*"):
            _run(f"umount {place}")
        shutil.rmtree(folder)
