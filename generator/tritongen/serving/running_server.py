"""A server that this tool started: what processes and containers have in common."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tritongen.errors import EnvironmentProblem
from tritongen.model.progress import Progress
from tritongen.serving.reaper import Guard
from tritongen.triton.load_reasons import (
    load_failures,
    model_statuses,
    short_of_memory,
    telling_lines,
    wait_for_models,
)
from tritongen.triton.server import Endpoints, ModelStatus, ServerState

if TYPE_CHECKING:
    from tritongen.triton.http_client import HttpClient


# The program of the processes that Triton's Python backend starts, one an instance.
STUB = "triton_python_backend_stub"
_ANSWER_S = 10.0
_SHOWN_LINES = 10
_DIED = "TG829"


class RunningServer(ABC):
    """A server that was started, or found again: a process with its children, or a container.

    Args:
        state: what is known of it.
        python_backends: backends that run a process for each instance.
        guard: that ends it when this process dies, until `detach`.
        run_line: the command that starts the same server by hand; empty where there is none.
    """

    def __init__(
        self,
        state: ServerState,
        python_backends: Collection[str],
        guard: Guard | None,
        run_line: str = "",
    ) -> None:
        self.state = state
        self._python_backends = python_backends
        self._guard = guard
        self.run_line = run_line

    @property
    def endpoints(self) -> Endpoints:
        """Where it listens."""
        return self.state.endpoints

    @abstractmethod
    def alive(self) -> bool:
        """Whether its process or container still runs.

        Raises:
            EnvironmentProblem: TG840, the Docker Engine does not answer.
        """

    @abstractmethod
    def follow(self, lines: int = 50) -> Iterator[str]:
        """The last lines of its log, then every further one until the server ends.

        Raises:
            EnvironmentProblem: TG840, the Docker Engine went away.
        """

    @abstractmethod
    def stop(self, grace: float = 30.0) -> None:
        """Ends it and everything it started: SIGTERM, `grace` seconds, then SIGKILL. Idempotent.

        Raises:
            EnvironmentProblem: TG816 when it cannot be ended.
        """

    @abstractmethod
    def ended(self) -> EnvironmentProblem:
        """The error for a server that is gone: how it ended, and its last words."""

    @abstractmethod
    def _check_started(self) -> None:
        """Raises the error for a server that has ended while it started."""

    @abstractmethod
    def _log_text(self, lines: int | None = None) -> str:
        """The end of its log, empty when it is gone; `lines` of it suffice."""

    @abstractmethod
    def _stubs(self) -> Mapping[str, int]:
        """Backend processes of each model."""

    @abstractmethod
    def _lacked_memory(self) -> bool:
        """Whether the kernel has killed a process for lack of memory while it ran."""

    def wait_ready(
        self, timeout: float, progress: Progress | None = None
    ) -> tuple[ModelStatus, ...]:
        """Waits until every expected model is ready or has failed for good.

        Args:
            timeout: seconds.
            progress: told of the models that are decided.

        Raises:
            EnvironmentProblem: TG810 or a more precise code when the server ended, with the log's
                tail in `details`; TG811 when time ran out. The server is left as it is.
        """
        with self._client() as client:
            found = wait_for_models(
                client,
                self.state.models,
                timeout=timeout,
                check_alive=self._check_started,
                read_log=self._log_text,
                progress=progress,
            )
        return self._explained(found)

    def statuses(self) -> tuple[ModelStatus, ...]:
        """The expected models as they are now.

        Raises:
            EnvironmentProblem: TG812 when the server ended, TG814 when it does not answer.
        """
        if not self.alive():
            raise self.ended()
        with self._client() as client:
            found, _ = model_statuses(client, self.state.models, self._log_text())
            running = self._stubs()
            return self._explained(
                tuple(
                    self._with_dead_stubs(
                        item, client.model_config(item.name), running.get(item.name, 0)
                    )
                    if item.ready
                    else item
                    for item in found
                )
            )

    def _client(self) -> "HttpClient":
        # Its import is not for those who only look at the process.
        from tritongen.triton.http_client import HttpClient

        return HttpClient(self.endpoints.http, _ANSWER_S, headers=self.state.headers())

    def logs(self, lines: int = 50) -> tuple[str, ...]:
        """The last lines of its log, without line ends."""
        return tuple(self._log_text(lines).splitlines()[-lines:]) if lines > 0 else ()

    def detach(self) -> None:
        """From now on the server outlives this process; until then it ends with it."""
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    def _with_dead_stubs(
        self, status: ModelStatus, config: Mapping[str, Any], running: int
    ) -> ModelStatus:
        """Triton calls a model ready whose backend processes died; their count tells."""
        if config.get("backend") not in self._python_backends:
            return status
        wanted = sum(int(group["count"]) for group in config.get("instance_group", ()))
        if running >= wanted:
            return status
        reason = f"{wanted - running} of {wanted} backend processes died"
        return ModelStatus(status.name, ready=False, reason=reason, code=_DIED)

    def _explained(self, statuses: tuple[ModelStatus, ...]) -> tuple[ModelStatus, ...]:
        """Backend processes that died while memory was short."""
        died = any(status.code == _DIED for status in statuses)
        return short_of_memory(statuses) if died and self._lacked_memory() else statuses


def end_problem(code: str, what: str, where: str, log: str) -> EnvironmentProblem:
    """The error for a server that has ended, with its last words."""
    failed = load_failures(log) if code == "TG820" else {}
    return EnvironmentProblem(
        code,
        what,
        where=where,
        details=[
            *(f"model {model}: {reason}" for model, reason in failed.items()),
            *telling_lines(log, _SHOWN_LINES),
        ],
    )
