"""Pods without a cluster: containers of exported manifests that end as a kubelet ends them."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from support.export_stack import docker, eventually, http

_TMP = "/tmp"  # noqa: S108  (inside the container, of its own)


class Pod:
    """The container of a Deployment's pod, its probes and its end.

    Args:
        manifest: a Deployment.
        image: instead of the manifest's.
        models: the repository.
        without: arguments that are left out.
    """

    def __init__(
        self, manifest: Any, image: str, models: Path, without: Sequence[str] = ()
    ) -> None:
        pod = manifest["spec"]["template"]["spec"]
        (box,) = pod["containers"]
        self._stop = box["lifecycle"]["preStop"]["exec"]["command"]
        self._grace_s = pod["terminationGracePeriodSeconds"]
        words = [one for one in box["args"] if not one.startswith(tuple(without) or ("\0",))]
        program, *rest = [one.replace("$$(", "$(") for one in (*box["command"], *words)]
        security = pod["securityContext"]
        self.name = docker(
            "run", "--detach", "--user", f"{security['runAsUser']}:{security['runAsGroup']}",
            "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--tmpfs", _TMP, "--shm-size", "64m", "--cpus", "1",
            "--volume", f"{models}:/models:ro",
            *(f"--env={one['name']}={one['value']}" for one in box["env"]),
            "--entrypoint", program, image, *rest,
        )  # fmt: skip
        self.address = docker("inspect", self.name, "--format", "{{.NetworkSettings.IPAddress}}")

    def ready(self) -> bool:
        """What the readiness probe finds."""
        return http(f"{self.address}:8000", "/v2/health/ready")[0] == 200

    def end(self) -> int:
        """Run preStop, send SIGTERM, wait for the rest of the grace period; its exit code."""
        began = time.monotonic()
        docker("exec", self.name, *self._stop)
        left = int(self._grace_s - (time.monotonic() - began))
        docker("stop", "--time", str(left), self.name)
        return int(docker("inspect", self.name, "--format", "{{.State.ExitCode}}"))

    def remove(self) -> None:
        """Leave nothing."""
        docker("rm", "--force", "--volumes", self.name, check=False)


class Balancer:
    """Gives each new connection to one of the addresses, as a Service does; keeps those it has.

    Args:
        port: of the pods.
        late_s: how long a new connection lies before it is taken.
    """

    def __init__(self, port: int, late_s: float = 0.0) -> None:
        self.addresses: list[str] = []
        self._pods_port, self._late_s, self._turn = port, late_s, 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._turn += 1
        await asyncio.sleep(self._late_s)
        address = self.addresses[self._turn % len(self.addresses)]
        with contextlib.suppress(OSError):
            inwards, outwards = await asyncio.open_connection(address, self._pods_port)
            await asyncio.gather(_pump(reader, outwards), _pump(inwards, writer))
        writer.close()

    def close(self) -> None:
        """End every connection."""
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def pods(manifest: Any, image: str, models: Path, without: Sequence[str] = ()) -> Iterator[Any]:
    """Starts pods of one manifest, ready ones, that end with the block."""
    started: list[Pod] = []

    def start() -> Pod:
        started.append(Pod(manifest, image, models, without))
        eventually(started[-1].ready, story=lambda: docker("logs", started[-1].name))
        return started[-1]

    try:
        yield start
    finally:
        for pod in started:
            pod.remove()


def manifest_of(folder: Path) -> Any:
    """The Deployment of an export."""
    documents = yaml.safe_load_all((folder / "deployment.yaml").read_text())
    return next(one for one in documents if one["kind"] == "Deployment")
