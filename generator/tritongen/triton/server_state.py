"""The state file of a project folder: which server runs for it, so that another shell finds it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.codec import decode_text, encode
from tritongen.system.files import FileLock, translated, write_atomic
from tritongen.system.own_files import check_folder, make_folders, read_own
from tritongen.triton.address import Endpoint
from tritongen.triton.server import LOOPBACK, ServerState

_SCHEMA = 1


def project_label(project: Path) -> str:
    """A short name for a project folder: equal for every path that leads to it."""
    return hashlib.sha256(str(project.resolve()).encode()).hexdigest()[:12]


class StateStore:
    """The folder ``.tritongen`` of a project, with the server's state, lock and log.

    Args:
        project: the project's folder.
    """

    def __init__(self, project: Path) -> None:
        self.project = project.resolve()
        self.folder = self.project / ".tritongen"
        self.path = self.folder / "server.json"
        self.log = self.folder / "server.log"

    def lock(self, purpose: str) -> FileLock:
        """Keeps two runs from starting or stopping this project's server at once.

        Raises:
            EnvironmentProblem: TG004 or TG005 when the folder cannot be made, TG011 when it is not
                the tool's own; on entry TG008 when another run holds it.
        """
        self.make_folder()
        return FileLock(self.folder / "lock", purpose)

    def make_folder(self, name: str = "") -> Path:
        """The state folder, or one of that name in it; version control ignores both.

        Raises:
            EnvironmentProblem: TG004 or TG005 when it cannot be made, TG011 when it is not the
                tool's own.
        """
        folder = self.folder / name
        with translated(folder):
            make_folders(folder, self.project)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            write_atomic(ignore, b"*\n")
        return folder

    def read(self) -> ServerState | None:
        """What was written last, None when there is nothing. It may be stale: see `attach_to`.

        The state of another project, in a folder that was copied, is none of this one's.

        Raises:
            EnvironmentProblem: TG817 when the file is damaged or cannot be read, TG011 when its
                folder is not the tool's own.
        """
        try:
            check_folder(self.folder)
            text = self._bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EnvironmentProblem(
                "TG817",
                f"state cannot be read: {(error.strerror or str(error)).lower()}",
                where=str(self.path),
                fix=f"Make {self.folder} a folder that you may read, with a file server.json or "
                "none; then `tritongen down` ends what still runs.",
            ) from error
        try:
            state = decode_text(ServerState, text, "state file", _SCHEMA)
        except ValueError as error:
            raise EnvironmentProblem(
                "TG817", "state file is damaged or from another version", where=str(self.path)
            ) from error
        return state if state.label == project_label(self.project) else None

    def _bytes(self) -> bytes:
        try:
            return read_own(self.path)
        except EnvironmentProblem as problem:
            # In a folder of the tool's own `down` clears it away.
            raise EnvironmentProblem("TG817", problem.what, where=problem.where) from problem

    def write(self, state: ServerState) -> None:
        """Replaces the state in one step.

        Raises:
            EnvironmentProblem: TG004, TG005, TG011.
        """
        self.make_folder()
        data = {"schema_version": _SCHEMA, **encode(state, whole=True)}
        write_atomic(self.path, json.dumps(data, indent=2).encode() + b"\n", mode=0o600)

    def clear(self) -> None:
        """Forgets the server; nothing happens when there is none.

        Raises:
            EnvironmentProblem: TG817, a folder stands in its place; TG004.
        """
        with translated(self.path):
            try:
                self.path.unlink(missing_ok=True)
            except IsADirectoryError as error:
                raise EnvironmentProblem(
                    "TG817",
                    "a folder stands where the state file belongs",
                    where=str(self.path),
                    fix=f"Remove the folder {self.path}.",
                ) from error


def own_endpoint(project: Path, endpoint: Endpoint) -> Endpoint:
    """An endpoint with the key of the project's own server, where it is that server's.

    Its name may lead elsewhere, too, where another user listens: the key goes to its address alone.

    Args:
        project: the project's folder.
        endpoint: as it was named.
    """
    try:
        state = StateStore(project).read()
    except EnvironmentProblem:
        return endpoint  # whoever needs the state says what is wrong with it
    if state is None:
        return endpoint
    grpc = endpoint.protocol is ClientProtocol.GRPC
    found = replace(endpoint, host=LOOPBACK) if endpoint.host == "localhost" else endpoint
    if found.address != (state.endpoints.grpc if grpc else state.endpoints.http):
        return endpoint
    place = found if endpoint.tls is None else endpoint  # a certificate says who has the name
    return replace(place, keys=state.headers(grpc=grpc))
