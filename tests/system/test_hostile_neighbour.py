"""Others on the same machine or network: what they can see of a server and can ask it."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from support.cli import Project, children, dense, trial_of
from support.closed_apis import GRPC_CALLS, HTTP_CALLS
from support.serving_models import config_text, identity
from support.trial_models import endless
from support.triton import TestServer, start_server, write_model
from tritongen.errors import EnvironmentProblem
from tritongen.probe.probe_request import ProbeRequest
from tritongen.probe.probed_server import connect
from tritongen.serving import reaper
from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime
from tritongen.serving.reaper import SHARED_MEMORY
from tritongen.system.processes import SERVER, region_prefix
from tritongen.triton.access import Access
from tritongen.triton.http_client import HttpClient
from tritongen.triton.server import ServerState
from tritongen.triton.server_state import StateStore

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


# Another user's process tries what would let it read, change, end or stand in for a server. It says
# what of it succeeded.
TRY = """
import json, os, socket, sys
from pathlib import Path

folders, pids, ports = json.loads(sys.argv[1])
found = []

def attempt(what, action):
    try:
        action()
    except OSError:
        return
    found.append(what)

def visit(place):
    attempt(f"lists {place}", lambda: os.listdir(place))
    attempt(f"makes a file in {place}", lambda: open(place + "/planted", "x"))
    attempt(f"renames {place}", lambda: os.rename(place, place + "-taken"))
    for inner, folders, files in os.walk(place):
        for name in files:
            path = os.path.join(inner, name)
            attempt(f"reads {path}", lambda: open(path, "rb").read(1))
            attempt(f"writes {path}", lambda: open(path, "ab"))
            attempt(f"removes {path}", lambda: os.unlink(path))

def bind(host, port):
    with socket.socket(socket.AF_INET) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        own.bind((host, port))
        own.listen()

for folder in folders:
    visit(folder)
for pid in pids:
    attempt(f"signals {pid}", lambda: os.kill(pid, 0))
    for name in ("cwd", "fd", "root"):
        attempt(f"looks into {name} of {pid}", lambda: os.listdir(f"/proc/{pid}/{name}"))
    for name in ("environ", "mem", "maps"):
        attempt(f"reads {name} of {pid}", lambda: open(f"/proc/{pid}/{name}", "rb").read(1))
for port in ports:
    for host in ("127.0.0.1", "0.0.0.0"):
        attempt(f"listens on {host}:{port}", lambda: bind(host, port))
print(json.dumps(found))
"""


def tried(folders: list[Path], pids: Sequence[int] = (), ports: Sequence[int] = ()) -> list[str]:
    """What of it another user succeeds in."""
    told = json.dumps([[str(folder) for folder in folders], list(pids), list(ports)])
    out = subprocess.check_output(
        ["/usr/bin/python3", "-I", "-c", TRY, told],
        text=True, user=NOBODY, group=NOBODY, extra_groups=(), cwd="/",
    )  # fmt: skip
    return json.loads(out)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that everyone may enter, as a home or a folder of /srv is on many machines."""
    with TemporaryDirectory(prefix="neighbour-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_another_user_gets_at_no_state_cache_or_server(
    open_place: Path, embedded_runtime: EmbeddedRuntime
):
    folder = open_place / "project"
    folder.mkdir()
    write_model(folder / "repository", "m", config_text(), {"1/model.onnx": identity()})
    with start_server(folder / "repository", folder) as server:
        state = server.server.state
        StateStore(folder).write(state)
        pids = [state.pid, *reaper.marked(f"{SERVER}={state.server}")]
        ends = (state.endpoints.http, state.endpoints.grpc, state.endpoints.metrics)
        ports = [int(end.rpartition(":")[2]) for end in ends]
        assert tried([folder / ".tritongen"], pids, ports) == []
        assert f"lists {folder / 'repository'}" in tried([folder / "repository"]), "it can try"
        assert server.client.live()


def test_another_user_gets_at_no_cache(open_place: Path):
    project = Project(open_place / "project")
    project.add("dense/model.onnx", dense())
    cache = open_place / "cache"
    cache.mkdir(mode=0o755)
    project.run("build", "models", XDG_CACHE_HOME=str(cache))
    assert list((cache / "tritongen").iterdir())
    assert tried([cache / "tritongen", project.folder / ".tritongen"]) == []


def test_another_user_gets_at_no_model_that_is_tried(open_place: Path):
    """The working folders among the temporary files, while it runs."""
    project = Project(open_place / "project")
    temporary = open_place / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    project.add("m/model.onnx", endless())
    words = ("build", "models", "--trial-timeout", "60")
    with project.start(*words, TMPDIR=str(temporary)) as process:
        try:
            worker = trial_of(process)
            while not (forks := children(worker)):
                assert process.poll() is None, process.communicate()
            folders = list(temporary.iterdir())
            assert len(folders) == 2, "one of the worker, one of its fork"
            assert tried(folders, [process.pid, worker, *forks]) == []
        finally:
            process.terminate()
            process.communicate()
    assert list(temporary.iterdir()) == []


def test_an_impostor_at_localhost_is_given_no_key(watched: Watched):
    """A name may have an address where another user listens; the server has but one."""
    project = Path(watched.state.repository).parent / "project"
    port = watched.state.endpoints.http.rpartition(":")[2]
    StateStore(project).write(watched.state)
    endpoint = Access().endpoint(f"localhost:{port}", project=project)
    assert watched.state.key in endpoint.keys.values()
    assert not endpoint.headers
    assert endpoint.host == "127.0.0.1"
    request = ProbeRequest(url=f"localhost:{port}")
    with connect(project, request) as probed:
        assert probed.endpoint.host == "127.0.0.1"


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
