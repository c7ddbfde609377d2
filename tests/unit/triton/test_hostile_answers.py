"""Every client of HTTP against servers that attack it: coded errors, within time and memory."""

import tracemalloc
from collections.abc import Callable

import pytest

from support.hostile_http import CONTENT, TIME, hostile
from tritongen.errors import EnvironmentProblem, TritongenError
from tritongen.fleet.observe.scrape import prometheus_history
from tritongen.triton.address import Endpoint
from tritongen.triton.control import ServerControl
from tritongen.triton.http_client import HttpClient
from tritongen.triton.metrics import metrics_page

SECONDS = 0.5
MAX_BYTES = 200 * 2**20


def control(address: str) -> ServerControl:
    return ServerControl(Endpoint.parse(address), timeout_s=SECONDS)


CLIENTS: dict[str, Callable[[str], object]] = {
    "metadata": lambda address: HttpClient(address, SECONDS).model_metadata("m"),
    "statistics": lambda address: HttpClient(address, SECONDS).statistics(),
    "index": lambda address: HttpClient(address, SECONDS).index(),
    "inference": lambda address: HttpClient(address, SECONDS).infer("m", {}),
    "control": lambda address: control(address).server(),
    "control index": lambda address: control(address).ready_models(),
    "control metadata": lambda address: control(address).metadata("m"),
}
CODES = {"TG814", "TG815", "TG839", "TG901", "TG902", "TG903"}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("attack", [*CONTENT, *TIME])
def test_a_client_gives_up_with_a_code(attack: str, client: str) -> None:
    tracemalloc.start()
    try:
        with (
            hostile({**CONTENT, **TIME}[attack]) as server,
            pytest.raises(EnvironmentProblem) as caught,
        ):
            CLIENTS[client](server.address)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code in CODES
    assert caught.value.what
    assert caught.value.fix
    assert server.address in caught.value.where or caught.value.where == "m"
    assert peak < MAX_BYTES
    assert server.stayed == []


@pytest.mark.parametrize("attack", CONTENT)
def test_a_history_is_of_a_prometheus(attack: str) -> None:
    with hostile(CONTENT[attack]) as server, pytest.raises(TritongenError) as caught:
        prometheus_history(f"http://{server.address}", 0.0, 60.0, 1.0)
    assert caught.value.code == "TG980"


@pytest.mark.parametrize("attack", ["endless chunks", "gzip bomb", "negative length", *TIME])
def test_a_page_of_metrics_that_attacks_is_none(attack: str) -> None:
    with hostile({**CONTENT, **TIME}[attack]) as server:
        assert metrics_page(Endpoint.parse(server.address), SECONDS) is None
    assert server.stayed == []
