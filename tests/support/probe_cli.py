"""`tritongen probe` as a command against a synthetic server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.cli import Project
from support.synthetic_server import Behaviour, SyntheticServer, synthetic_server


@contextmanager
def serving(folder: Path, **behaviour: Any) -> Iterator[SyntheticServer]:
    """A synthetic server; its log lies in `folder`."""
    with synthetic_server(Behaviour(**behaviour), folder) as server:
        yield server


def wait_for(server: SyntheticServer, requests: int) -> None:
    """Until the server has answered so many requests; not for ever."""
    limit = time.monotonic() + 60.0
    while len(server.log()) < requests and time.monotonic() < limit:
        time.sleep(0.05)


def level(
    project: Project, server: SyntheticServer, *arguments: str, expect: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The one level of a short probe, and the whole document."""
    words = ("probe", "-u", server.address, "-m", "echo", "--duration", "1", *arguments)
    found = project.json(*words, expect=expect)
    return found["levels"][0], found
