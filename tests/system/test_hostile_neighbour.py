"""Others on the same machine or network: what they can see of a server and can ask it."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.closed_apis import GRPC_CALLS, HTTP_CALLS
from support.serving_models import config_text, identity
from support.triton import TestServer, start_server, write_model
from tritongen.errors import EnvironmentProblem
from tritongen.serving import reaper
from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime
from tritongen.serving.reaper import SHARED_MEMORY
from tritongen.system.processes import SERVER, region_prefix
from tritongen.triton.http_client import HttpClient
from tritongen.triton.server import ServerState

# Another user's process: until its input ends it keeps what it can read of others' command lines,
# environments and shared memory.
NOBODY = 65534
WATCH = """
import json, os, select, sys
from pathlib import Path

seen, regions = set(), set()
print("watching", flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    for place in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                seen.add((place / name).read_bytes().decode(errors="replace"))
            except OSError:
                pass
    for place in Path("/dev/shm").iterdir():
        try:
            os.close(os.open(place, os.O_RDONLY))
            regions.add(place.name)
        except OSError:
            pass
print(json.dumps([sorted(seen), sorted(regions)]))
"""


@dataclass
class Neighbour:
    """What another user has seen."""

    texts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


@dataclass
class Watched:
    """A server, and what another user saw of it since before its start."""

    server: TestServer
    neighbour: Neighbour

    @property
    def state(self) -> ServerState:
        return self.server.server.state


@pytest.fixture(scope="module")
def watched(embedded_runtime: EmbeddedRuntime, tmp_path_factory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    write_model(folder / "repository", "m", config_text(), {"1/model.onnx": identity()})
    watcher = subprocess.Popen(
        # The system's interpreter: this environment's may lie where others cannot go.
        ["/usr/bin/python3", "-I", "-c", WATCH],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=NOBODY, group=NOBODY,
        extra_groups=(), cwd="/",
    )  # fmt: skip
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "watching\n"
    with start_server(folder / "repository", folder / "project") as server:
        out, _ = watcher.communicate("\n")
        texts, regions = json.loads(out)
        yield Watched(server, Neighbour(tuple(texts), tuple(regions)))


def test_another_user_sees_no_key(watched: Watched):
    assert len(watched.state.key) == 32
    server = str(watched.state.pid)
    assert Path("/proc", server, "cmdline").read_bytes().decode() in watched.neighbour.texts
    assert not any(watched.state.key in text for text in watched.neighbour.texts)
    closed = [
        text.partition("tritongen-closed=")[2].partition("\0")[0]
        for text in watched.neighbour.texts
        if region_prefix(watched.state.server) in text and "tritongen-closed=" in text
    ]
    assert set(closed) == {"hidden"}


def test_another_user_reads_no_region(watched: Watched):
    prefix = region_prefix(watched.state.server)
    own = list(SHARED_MEMORY.glob(f"{prefix}*"))
    assert own
    assert {path.stat().st_mode & 0o777 for path in own} == {0o600}
    assert not [name for name in watched.neighbour.regions if name.startswith(prefix)]


@pytest.mark.parametrize("headers", [{}, {"tritongen-key": "hidden"}, {"tritongen-closed": ""}])
@pytest.mark.parametrize(("method", "path"), HTTP_CALLS)
def test_nobody_without_the_key_is_answered(method, path, headers, watched: Watched):
    with HttpClient(watched.state.endpoints.http, headers=headers) as client:
        answer = client._ask(method, path, region_of(watched))
    assert answer.status == 403
    assert b"restricted" in answer.content


def region_of(watched: Watched) -> bytes:
    """The request that gives a client a region of Triton's own Python backend."""
    prefix = region_prefix(watched.state.server)
    name = next(SHARED_MEMORY.glob(f"{prefix}*")).name
    return json.dumps({"key": f"/{name}", "offset": 0, "byte_size": 1024}).encode()


@pytest.mark.parametrize(("method", "arguments"), GRPC_CALLS)
def test_nobody_without_the_key_is_answered_over_grpc(method, arguments, watched: Watched):
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client: Any = InferenceServerClient(watched.state.endpoints.grpc)
    try:
        with pytest.raises(InferenceServerException, match="restricted"):
            getattr(client, method)(*arguments)
    finally:
        client.close()


def test_the_key_opens_what_the_tool_asks_and_no_more(watched: Watched):
    client = watched.server.client
    assert [entry.name for entry in client.index()] == ["m"]
    assert client._ask("GET", "/v2/systemsharedmemory/status").status == 200
    assert client._ask("GET", "/v2/trace/setting").status == 403
    with pytest.raises(EnvironmentProblem, match="explicit"):
        client.load("m")


def test_a_model_does_not_inherit_the_key(watched: Watched):
    pids = reaper.marked(f"{SERVER}={watched.state.server}")
    assert len(pids) > 1
    for pid in pids:
        text = Path("/proc", str(pid), "environ").read_bytes().decode()
        assert (watched.state.key in text) == (pid == watched.state.pid)
