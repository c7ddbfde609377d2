"""A server that is Triton where it says what it is, and in all else answers what it was given."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_SERVER = {"name": "triton", "version": "2.51.0", "extensions": ["binary_tensor_data"]}


@contextmanager
def impostor(models: tuple[str, ...], answers: Mapping[str, object]) -> Iterator[str]:
    """The address of such a server.

    Args:
        models: that are ready.
        answers: JSON by the last part of a path: ``config``, ``stats``, ``metadata``, ``infer``;
            of a function what it gives.
    """

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            last = self.path.rpartition("/")[2]
            if self.path == "/v2":
                found: object = _SERVER
            elif last == "index":
                found = [{"name": name, "version": "1", "state": "READY"} for name in models]
            elif last in {"live", "ready"}:
                found = {}
            else:
                found = answers.get(last if last in answers else "metadata", {})
                found = found() if callable(found) else found
            data = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
