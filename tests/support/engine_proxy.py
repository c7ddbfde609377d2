"""A way to the Docker Engine that can be cut, as an engine that stops cuts it."""

import socket
import threading
from pathlib import Path

ENGINE = Path("/var/run/docker.sock")


class EngineProxy:
    """A Unix socket that leads to the engine's own while it is up.

    Args:
        path: of the socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """For a tool that goes this way."""
        return {"DOCKER_HOST": f"unix://{self.path}"}

    def start(self) -> None:
        """Lets requests through."""
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Cuts every connection, and takes no new one."""
        assert self._listener is not None
        self._listener.close()
        self.path.unlink(missing_ok=True)
        with self._guard:
            for connection in self._open:
                _shut(connection)
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(str(ENGINE))
            with self._guard:
                self._open |= {client, engine}
            for source, target in ((client, engine), (engine, client)):
                threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        _shut(end)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
