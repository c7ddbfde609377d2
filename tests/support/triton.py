"""A real Triton for tests.

``start_server(repository, project)`` is a context manager that yields a `TestServer`: the running
server, its HTTP client and, with explicit control, load and unload that return the server's reason.
The server has free ports on the loopback address and is gone when the block ends.

Fixtures (registered in ``conftest.py``):

- ``embedded_runtime``: one `EmbeddedRuntime` for the session; Triton is fetched once into the
  user's cache.
- ``embedded_layout``: its backend folder, for tests that build their own command.
- ``explicit_server``: one server for the session with explicit model control and an empty
  repository folder; ``explicit_server.try_model(name, config_text, {"1/model.onnx": data})`` writes
  a model, loads it, and returns the reason of a refusal or None.
- ``strict_server``: the same without auto-completion, which saves a second for each model whose
  configuration is complete.
- ``load``: loads a model into it (``load(config_text, model_bytes)`` gives the name) and unloads it
  when the test ends.
"""

import itertools
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime
from tritongen.serving.embedded.embedded_server import EmbeddedServer
from tritongen.serving.embedded.fetch import ensure_triton
from tritongen.serving.embedded.layout import TritonLayout, build_layout
from tritongen.serving.protocol import ModelControl, Ports, ServerSpec
from tritongen.triton.http_client import HttpClient
from tritongen.triton.load_reasons import clean, poll_failures
from tritongen.triton.server import ModelStatus
from tritongen.triton.server_state import project_label

READY_SECONDS = 180.0

_log = logging.getLogger(__name__)


@dataclass
class TestServer:
    """A running server with its client."""

    __test__ = False

    server: EmbeddedServer
    client: HttpClient
    repository: Path
    statuses: tuple[ModelStatus, ...] = ()
    _names: Iterator[int] = field(default_factory=itertools.count)
    _again: Callable[[], EmbeddedServer] | None = None

    def unique(self, stem: str = "model") -> str:
        """A model name that was not used on this server before."""
        return f"{stem}_{next(self._names)}"

    def write(self, name: str, config: str | None, files: Mapping[str, bytes]) -> Path:
        """Writes a model's folder: its configuration, unless None, and files by relative path."""
        folder = self.repository / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if config is not None:
            (folder / "config.pbtxt").write_text(config)
        for path, data in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return folder

    def try_load(self, name: str, config: Mapping[str, Any] | None = None) -> str | None:
        """Loads a model; the server's cleaned reason when it refuses, None when it is ready.

        A server that ends meanwhile is started again, and asked once more: Triton 2.51 was
        seen to crash while it destroyed the instances of a model unloaded by the test before (in
        `TritonBackendThread::StopBackendThread`). One that ends twice fails this
        test, with its log.
        """
        try:
            self._load(name, config)
        except EnvironmentProblem as problem:
            log = "\n".join(self.server.logs(200))
            if problem.code != "TG815":
                problem.add_note(f"end of the server's log:\n{log[-4000:]}")
                raise
            if "failed to poll" in problem.what:
                return poll_failures(log).get(name, problem.what)
            return clean(problem.what)
        return None if self.client.model_ready(name) else "loaded, but not ready"

    def _load(self, name: str, config: Mapping[str, Any] | None) -> None:
        try:
            self.client.load(name, config)
        except EnvironmentProblem:
            if self._again is None or self.server.alive():
                raise
            ended = self._renew()
            _log.warning("Triton ended while %s was loaded:\n%s", name, ended)
            try:
                self.client.load(name, config)
            except EnvironmentProblem as problem:
                if self.server.alive():
                    raise
                raise AssertionError(f"Triton ended again:\n{self._renew()}") from problem

    def _renew(self) -> str:
        """Starts the server again, which has ended; the end of its log."""
        assert self._again is not None
        end = "\n".join(self.server.logs(60))
        self.client.close()
        self.server = self._again()
        self.client = client_of(self.server)
        return end

    def try_model(self, name: str, config: str | None, files: Mapping[str, bytes]) -> str | None:
        """`write`, then `try_load`."""
        self.write(name, config, files)
        return self.try_load(name)

    def unload(self, name: str) -> None:
        """Unloads a model and removes its folder."""
        self.client.unload(name)
        shutil.rmtree(self.repository / name, ignore_errors=True)


def client_of(server: EmbeddedServer) -> HttpClient:
    """A client that the server's restricted APIs answer, too."""
    return HttpClient(server.endpoints.http, headers=server.state.headers())


def write_model(
    repository: Path, name: str, config: str | None, files: Mapping[str, bytes]
) -> Path:
    """Writes a model's folder into a repository, before a server starts on it."""
    folder = repository / name
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def server_spec(
    repository: Path, project: Path, models: tuple[str, ...] | None = None, **options: Any
) -> ServerSpec:
    """A spec with free ports; every folder of the repository is expected when `models` is None."""
    if models is None:
        models = tuple(sorted(path.name for path in repository.iterdir() if path.is_dir()))
    project.mkdir(parents=True, exist_ok=True)
    options.setdefault("ports", Ports(0, 0, 0))
    options.setdefault("log", project / "server.log")
    return ServerSpec(
        repository=repository,
        models=models,
        project=project,
        label=project_label(project),
        **options,
    )


@contextmanager
def start_server(
    repository: Path,
    project: Path,
    models: tuple[str, ...] | None = None,
    *,
    runtime: EmbeddedRuntime | None = None,
    **options: Any,
) -> Iterator[TestServer]:
    """A real Triton on `repository`; its log lies in `project`.

    Args:
        repository: folder of models.
        project: folder for the log, usually from `tmp_path`.
        models: expected names; every folder of the repository when None.
        runtime: a runtime of your own; a fresh one with the user's cache when None.
        **options: further fields of `ServerSpec`.
    """
    spec = server_spec(repository, project, models, **options)

    def again() -> EmbeddedServer:
        found.server.stop(grace=0.0)
        server = (runtime or EmbeddedRuntime()).start(spec)
        server.wait_ready(READY_SECONDS)
        return server

    explicit = spec.model_control is ModelControl.EXPLICIT
    server = (runtime or EmbeddedRuntime()).start(spec)
    try:
        statuses = server.wait_ready(READY_SECONDS)
        client = client_of(server)
    except BaseException:
        server.stop(grace=0.0)
        raise
    found = TestServer(server, client, repository, statuses, _again=again if explicit else None)
    try:
        yield found
    finally:
        found.client.close()
        found.server.stop(grace=0.0)  # an orderly end takes seconds, and one test of it is enough


@pytest.fixture(scope="session")
def embedded_runtime() -> EmbeddedRuntime:
    """The embedded runtime on the user's cache."""
    ensure_triton()
    return EmbeddedRuntime()


@pytest.fixture(scope="session")
def embedded_layout() -> TritonLayout:
    """The backend folder of the embedded runtime."""
    return build_layout(ensure_triton())


@contextmanager
def _explicit(folder: Path, runtime: EmbeddedRuntime, **options: Any) -> Iterator[TestServer]:
    repository = folder / "repository"
    repository.mkdir()
    control = ModelControl.EXPLICIT
    with start_server(
        repository, folder / "project", runtime=runtime, model_control=control, **options
    ) as server:
        yield server


@pytest.fixture(scope="session")
def explicit_server(
    embedded_runtime: EmbeddedRuntime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestServer]:
    """A server that loads and unloads models by HTTP, on an empty repository."""
    with _explicit(tmp_path_factory.mktemp("explicit"), embedded_runtime) as server:
        yield server


@pytest.fixture(scope="session")
def strict_server(
    embedded_runtime: EmbeddedRuntime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestServer]:
    """The same without auto-completion of configurations."""
    folder = tmp_path_factory.mktemp("strict")
    with _explicit(folder, embedded_runtime, auto_complete=False) as server:
        yield server


@pytest.fixture
def load(strict_server: TestServer) -> Iterator[Callable[..., str]]:
    """Loads an ONNX model that must be accepted, and gives its name; unloaded after the test."""
    names = []

    def load(config: str, model: bytes, files: Mapping[str, bytes] | None = None) -> str:
        name = strict_server.unique()
        reason = strict_server.try_model(name, config, {"1/model.onnx": model, **(files or {})})
        assert reason is None, reason
        names.append(name)
        return name

    yield load
    for name in names:
        strict_server.unload(name)
