"""A registry that serves one small image of the engine's, over plain HTTP on the loopback address.

The engine takes registries on 127.0.0.0/8 without TLS.
"""

import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_INDEX = "index.json"
_BLOBS = "blobs/sha256/"


class Registry(ThreadingHTTPServer):
    """Answers what `docker pull` asks.

    Attributes:
        blobs: by digest.
        manifest: digest of the image's manifest.
        pulls: manifests that were asked for.
        broken: whether layers end in the middle.
    """

    daemon_threads = True

    def __init__(self, archive: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs: dict[str, bytes] = {}
        self.pulls = 0
        self.broken = False
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar.getmembers():
                if member.isfile() and member.name.startswith(_BLOBS):
                    data = tar.extractfile(member)
                    assert data is not None
                    self.blobs["sha256:" + member.name.removeprefix(_BLOBS)] = data.read()
            index = tar.extractfile(_INDEX)
            assert index is not None
            self.manifest = json.load(index)["manifests"][0]["digest"]

    @property
    def address(self) -> str:
        """As the name of an image begins."""
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        kind, name = self.path.rsplit("/", 2)[-2:]
        if self.path == "/v2/":
            return self.send(200, b"{}", "application/json", "", body=body)
        digest = name if name.startswith("sha256:") else self.server.manifest
        data = self.server.blobs.get(digest)
        if data is None or kind not in {"manifests", "blobs"}:
            return self.send(404, b"{}", "application/json", "", body=body)
        if kind == "manifests":
            self.server.pulls += body
            media = json.loads(data)["mediaType"]
            return self.send(200, data, media, digest, body=body)
        return self.send(200, data, "application/octet-stream", digest, body=body)

    def send(self, status: int, data: bytes, media: str, digest: str, *, body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(data)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if body:
            cut = self.server.broken and media == "application/octet-stream"
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = cut

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@contextmanager
def registry_of(image: str) -> Iterator[Registry]:
    """A registry that has this local image under every name and tag."""
    archive = subprocess.run(["docker", "save", image], stdout=subprocess.PIPE, check=True).stdout
    registry = Registry(archive)
    threading.Thread(target=registry.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield registry
    finally:
        registry.shutdown()
        registry.server_close()
