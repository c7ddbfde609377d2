"""Real deployments for the tests of exports: a project of two models, Compose, Swarm.

The gateway of a stack is HAProxy from Debian's packages. Ports are published on the gateway's node,
because a kernel without IPVS has no ingress network.
"""

import contextlib
import json
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from support.cli import Project

ROOT = Path(__file__).resolve().parents[2]
_GATEWAY = "tritongen-test-gateway:2"
_DOCKERFILE = """\
FROM {base}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends haproxy kustomize >/dev/null && rm -rf /var/lib/apt/lists/*
USER haproxy
"""
_WATCHED = """\
services:
  prometheus:
    entrypoint: [/usr/bin/prometheus]
    user: "0:0"
    ports:
      - {target: 9090, published: "${PROMETHEUS_PORT}", protocol: tcp, mode: host}
    volumes:
      - {type: bind, source: /usr/bin/prometheus, target: /usr/bin/prometheus, read_only: true}
  grafana: {deploy: {replicas: 0}}
"""
SECONDS = 180.0

INTENT = """\
target: {cpus: 2, memory: 1GiB}
availability: {replicas: 2}
scaling: {max_replicas: 4}
models:
  digits:
    overlay: {metric_tags: {edition: "EDITION"}}
"""


def docker(*arguments: str, check: bool = True, **options: Any) -> str:
    """A Docker command's output."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=300, **options
    )
    assert not check or done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout.strip()


def eventually(
    what: Callable[[], Any], seconds: float = SECONDS, story: Callable[[], str] = str
) -> Any:
    """Waits until the answer is true, and gives it; `story` tells what happened instead."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"it did not happen\n{story()}"
        time.sleep(0.5)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def two_models(folder: Path) -> Project:
    """A project with two of the demo's models, built for two cores and two replicas."""
    project = Project(folder)
    for name in ("digits", "breast_cancer"):
        data = (ROOT / f"demo/models/{name}/model.onnx").read_bytes()
        project.write(f"models/{name}/model.onnx", data)
    rebuild(project, 1)
    return project


def rebuild(project: Project, edition: int) -> None:
    """The same models with another configuration of `digits`."""
    project.write("models/tritongen.yaml", INTENT.replace("EDITION", str(edition)))
    project.run("build", "models")


def gateway_image() -> str:
    """HAProxy and Kustomize from Debian's packages; made when it is not here."""
    if docker("image", "ls", "-q", _GATEWAY):
        return _GATEWAY
    own = docker("image", "ls", "-q", "tritongen-base:trixie")
    base = "tritongen-base:trixie" if own else "debian:trixie-slim"
    text = _DOCKERFILE.format(base=base)
    docker("build", "-q", "--network", "host", "-t", _GATEWAY, "-", input=text)
    return _GATEWAY


@contextlib.contextmanager
def swarm_node() -> Iterator[None]:
    """This engine as a Swarm of one node on the loopback; as before when the block ends."""
    active = docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "active"
    if not active:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377")
    try:
        yield
    finally:
        if not active:
            docker("swarm", "leave", "--force")


class Stack:
    """A deployed stack.

    Args:
        project: with its repository.
        name: of deployment and stack.
        image: Triton's.
    """

    def __init__(self, project: Project, name: str, image: str) -> None:
        self.project = project
        self.name = name
        self.service = f"{name}_{name}"
        self.http, self.grpc, self.prometheus = free_ports(3)
        self.environment = {
            **os.environ,
            "TRITON_IMAGE": image,
            "GATEWAY_IMAGE": gateway_image(),
            # Three replicas, one of them new, fit on two cores.
            "TRITON_CPUS": "0.5",
            "TRITON_HTTP_PORT": str(self.http),
            "TRITON_GRPC_PORT": str(self.grpc),
            "PROMETHEUS_IMAGE": image,
            "PROMETHEUS_PORT": str(self.prometheus),
            "PUBLISH_MODE": "host",
            "GATEWAY_ORDER": "stop-first",
        }

    def deploy(self) -> None:
        """Export and deploy, or update."""
        self.project.run("export", "swarm", "-o", "stack", "--name", self.name)
        docker(
            "stack", "deploy", "-c", "stack.yaml", "--resolve-image", "never", self.name,
            cwd=self.project.folder / "stack", env=self.environment,
        )  # fmt: skip

    def watch(self) -> None:
        """Deploy the monitoring, too, with Debian's Prometheus and without Grafana."""
        self.project.write("stack/debian.yaml", _WATCHED)
        docker("secret", "create", f"{self.name}-grafana", "-", input=os.urandom(16).hex())
        files = ("-c", "stack.yaml", "-c", "monitoring.yaml", "-c", "debian.yaml")
        docker(
            "stack", "deploy", *files, "--resolve-image", "never", self.name,
            cwd=self.project.folder / "stack", env=self.environment,
        )  # fmt: skip

    def replicas(self) -> list[str]:
        """Containers of Triton that run and are healthy."""
        ids = docker(
            "ps", "-q", "--no-trunc", "-f", f"name={self.service}.", "-f", "health=healthy"
        )
        return ids.split()

    def wait(self, count: int) -> None:
        """Until so many replicas are healthy, none is being replaced, and the gateway answers."""
        eventually(
            lambda: (
                self._state() not in {"updating", "rollback_started"}
                and len(self.replicas()) == count
                and self.answers()
            ),
            story=self.story,
        )

    def wait_updated(self) -> None:
        """Until the last update is complete."""
        eventually(self._updated, story=self.story)

    def wait_rolled_back(self) -> None:
        """Until the last update is undone."""
        eventually(lambda: self._state() == "rollback_completed", story=self.story)

    def story(self) -> str:
        """What became of every task, and what the gateway has to say of its servers."""
        tasks = docker("service", "ps", "--no-trunc", self.service)
        return f"{tasks}\n{docker('service', 'logs', '--raw', f'{self.name}_gateway')}"

    def answers(self) -> bool:
        """Whether the server behind the gateway is ready."""
        return self.get("/v2/health/ready")[0] == 200

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Status and body of one request to the gateway; 0 without an answer."""
        return http(f"127.0.0.1:{self.http}", path, method)

    def _updated(self) -> bool:
        """Whether the last update is complete."""
        state = self._state()
        assert state not in {"paused", "rollback_started", "rollback_completed"}, state
        return state == "completed"

    def _state(self) -> str:
        return docker(
            "service", "inspect", self.service, "--format",
            "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}",
        )  # fmt: skip

    def remove(self) -> None:
        """Everything of the stack; the history of Prometheus, which Swarm keeps, as well."""
        docker("stack", "rm", self.name)
        eventually(lambda: not self.leftovers())
        docker("secret", "rm", f"{self.name}-grafana", check=False)
        volumes = docker(
            "volume", "ls", "-q", "-f", f"label=com.docker.stack.namespace={self.name}"
        )
        if volumes:
            docker("volume", "rm", *volumes.split())

    def leftovers(self) -> list[str]:
        """Containers, networks and configs that the stack has left."""
        label = f"label=com.docker.stack.namespace={self.name}"
        listed: Sequence[Sequence[str]] = (
            ("ps", "-aq", "-f", label),
            ("network", "ls", "-q", "-f", label),
            ("config", "ls", "-q", "-f", label),
            ("service", "ls", "-q", "-f", label),
        )
        return [line for words in listed for line in docker(*words).split()]


def address_of(container: str) -> str:
    """A container's address on the bridge of Swarm's gateway, which this machine reaches."""
    place = docker("inspect", container, "--format", "{{.NetworkSettings.SandboxID}}")
    attached = json.loads(docker("network", "inspect", "docker_gwbridge"))[0]["Containers"]
    # Swarm names the bridge's end of a container by the container's sandbox.
    found = attached.get(container) or next(
        one for one in attached.values() if one["Name"] == f"gateway_{place[:12]}"
    )
    return str(found["IPv4Address"]).partition("/")[0]


def http(
    address: str, path: str, method: str = "GET", headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own; 0 without an answer."""
    import http.client

    host, _, port = address.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request(method, path, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def statistics(container: str, model: str) -> int:
    """Requests that one replica has answered, asked of itself."""
    program = (
        "import urllib.request as u, sys; place = 'http://127.0.0.1:8000/v2/models/'; "
        "print(u.urlopen(place + sys.argv[1] + '/stats').read().decode())"
    )
    text = docker("exec", container, "python3", "-c", program, model)
    return int(json.loads(text)["model_stats"][0]["inference_stats"]["success"]["count"])


class KeptStream(threading.Thread):
    """Asks on one gRPC stream, one request at a time; once it is refused, on another one.

    Args:
        stack: whose gateway is asked.
    """

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self._address, self._over = f"127.0.0.1:{stack.grpc}", threading.Event()
        self.answered, self.refused, self.silent = 0, [], 0

    def run(self) -> None:
        import numpy as np
        from tritonclient import grpc

        tensor = grpc.InferInput("X", [1, 64], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 64), np.float32))
        while not self._over.is_set():
            with grpc.InferenceServerClient(self._address) as client:
                answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
                client.start_stream(partial(self._heard, answers))
                while not self._over.wait(0.05) and self._ask(client, tensor, answers):
                    self.answered += 1
                client.stop_stream(cancel_requests=True)

    @staticmethod
    def _heard(answers: "queue.SimpleQueue[Any]", result: Any, error: Any) -> None:
        """Called with the names that tritonclient gives."""
        del result
        answers.put(error)

    def _ask(self, client: Any, tensor: Any, answers: "queue.SimpleQueue[Any]") -> bool:
        try:
            client.async_stream_infer("digits", [tensor])
            error = answers.get(timeout=60)
        except queue.Empty:
            self.silent += 1
            return False
        except Exception as problem:  # noqa: BLE001  (whatever it is, the stream has ended)
            error = problem
        if error is not None:
            self.refused.append(str(error))
        return error is None

    def end(self) -> None:
        """No further request."""
        self._over.set()
        self.join()
