"""Removes the containers of one server: what the guard of a start or of a stop does."""

import time
from contextlib import suppress

from tritongen.serving.reaper import Guard, guarded, released

# A server that is still starting has nobody to serve.
_START_GRACE_S = 1
_LABEL = "tritongen.server"
# A request that was on its way when its sender died may still create a container a moment later.
_QUIET_ROUNDS = 3
_PAUSE_S = 0.3
_PATIENCE_S = 60.0
# Of one answer. Chosen: stopping waits for the server's own grace.
_TIMEOUT_S = 120


def container_guard(server: str, host: str, grace_s: int = _START_GRACE_S) -> Guard:
    """Watches over the containers of a server.

    Args:
        server: unique name of the start.
        host: address of the engine, empty for what the environment says.
        grace_s: for the server to end by itself.
    """
    variables = {"DOCKER_HOST": host} if host else {}
    return Guard(__name__, server, str(grace_s), packages=True, variables=variables)


def guarded_servers() -> frozenset[str]:
    """Servers that a guard on this machine watches."""
    return frozenset(guarded(__name__))


def main(server: str, grace_s: str) -> None:
    """The guard: removes the containers unless whoever started or stopped them lets them go."""
    if not released():
        _remove(server, int(grace_s))


def _remove(server: str, grace_s: int) -> None:
    """Removes every container of a server, also one that appears while this runs."""
    import docker.errors
    import requests

    deadline = time.monotonic() + _PATIENCE_S
    quiet = 0
    while quiet < _QUIET_ROUNDS and time.monotonic() < deadline:
        # The engine may be restarting, or somebody else be removing the container.
        with suppress(docker.errors.DockerException, requests.RequestException):
            quiet = 0 if _remove_found(server, grace_s) else quiet + 1
        time.sleep(_PAUSE_S)


def _remove_found(server: str, grace_s: int) -> bool:
    import docker
    import docker.errors

    client = docker.from_env(version="auto", timeout=_TIMEOUT_S)
    try:
        found = client.containers.list(all=True, filters={"label": f"{_LABEL}={server}"})
        for container in found:
            with suppress(docker.errors.APIError):  # it was never started, or has ended
                container.stop(timeout=grace_s)
            container.remove(force=True, v=True)
    finally:
        client.close()
    return bool(found)
