"""Whether a server serves an older repository than the one in the folder."""

from dataclasses import dataclass
from pathlib import Path

from tritongen.repository.lock_file import CONFIG_FILE, LOCK_FILE
from tritongen.serving.served_config import model_drift
from tritongen.triton.connect import ServerClient
from tritongen.triton.server import ServerState


@dataclass(frozen=True, slots=True)
class RepositoryAge:
    """A server beside the folder that it should serve.

    Attributes:
        client: of the server.
        repository: the folder.
        state: of the project's own server; None for another, which does not tell when it began.
    """

    client: ServerClient
    repository: Path
    state: ServerState | None

    def why_older(self, name: str, *, different: bool) -> str:
        """Why the server's model is not the folder's; empty where nothing says so.

        Args:
            name: of the model or pipeline.
            different: whether its answers are others than those of the folder's files. Newer files
                say nothing where they are not: they may hold the same.

        Raises:
            EnvironmentProblem: the server went away, or does not answer as Triton does.
        """
        if self.state is not None and name not in self.state.models:
            return "the server was started before this model was built"
        for item in model_drift(self.client, self.repository, name):
            return f"the server's configuration is older: {item.location.field}: {item.message}"
        if self.state is None or not different:
            return ""
        newer = self._newer(name, self.state.started)
        return f"{newer} is newer than the server" if newer else ""

    def _newer(self, name: str, started: float) -> str:
        """A file of a model that was written after the server started."""
        for path in sorted((self.repository / name).rglob("*")):
            told = path.name not in {CONFIG_FILE, LOCK_FILE} and path.is_file()
            if told and path.stat().st_ctime > started:
                return path.relative_to(self.repository).as_posix()
        return ""
