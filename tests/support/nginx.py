"""Debian's nginx as an ordinary process, as a gateway before servers of tests."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 20.0
_FRAME = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  {content}
}}
"""


@dataclass(frozen=True)
class Gateway:
    """A running nginx.

    Attributes:
        folder: of its configuration and logs.
        port: that it listens on.
    """

    folder: Path
    port: int

    def asked(self, path: str) -> int:
        """Requests for a path so far, whatever came of them."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return sum(f" {path} " in line for line in lines)


@contextmanager
def nginx(folder: Path, content: str) -> Iterator[Gateway]:
    """The server.

    Args:
        folder: for its files; made here.
        content: of its `http` block; PORT stands for a free port of the loopback address.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program, "nginx is missing: install Debian's, `apt-get install nginx`"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    config = folder / "nginx.conf"
    config.write_text(_FRAME.format(folder=folder, content=content.replace("PORT", str(port))))
    with (folder / "start.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(config)], stdout=log, stderr=log
        )
    try:
        _await(process, port, folder)
        yield Gateway(folder, port)
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _await(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    """Until it takes connections."""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nginx does not start: {(folder / 'start.log').read_text()}")
