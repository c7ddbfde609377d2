"""Ports that are free, and those that are not."""

import socket
import subprocess
import sys

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Severity
from tritongen.serving.preflight import choose_ports, endpoints, flag_findings, port_findings
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.system.machine import is_free
from tritongen.triton.server import Endpoints


def test_a_listening_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        (finding,) = port_findings("127.0.0.1", Ports(port, 0, 0))
        assert finding.code == "TG807"
        assert f"port {port} for HTTP" in finding.message
    assert is_free("127.0.0.1", port)
    assert port_findings("127.0.0.1", Ports(port, 0, 0)) == ()


def test_zeroes_become_different_free_ports():
    chosen = choose_ports("127.0.0.1", Ports(0, 0, 0))
    ports = (chosen.http, chosen.grpc, chosen.metrics)
    assert len(set(ports)) == 3
    assert all(is_free("127.0.0.1", port) for port in ports)


def test_a_port_that_another_start_has_chosen_is_not_chosen_again():
    chosen = choose_ports("127.0.0.1", Ports(0, 0, 0))
    command = [sys.executable, "-c", "import sys; from tritongen.system.machine import reserve"]
    command[-1] += "; print(*(reserve(int(port)) for port in sys.argv[1:]))"
    ports = (chosen.http, chosen.grpc, chosen.metrics)

    def other_start():
        words = [*command, *map(str, ports)]
        return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.split()

    assert other_start() == ["False"] * 3
    for _ in range(10):  # of the tool's latest ten starts
        choose_ports("127.0.0.1", Ports(0, 0, 0))
    assert other_start() == ["True"] * 3


def test_fixed_ports_are_kept():
    chosen = choose_ports("127.0.0.1", Ports(8000, 0, 8002))
    assert (chosen.http, chosen.metrics) == (8000, 8002)
    assert chosen.grpc


def test_a_foreign_host_is_named():
    with pytest.raises(EnvironmentProblem) as caught:
        is_free("192.0.2.1", 8000)
    assert caught.value.code == "TG814"


@pytest.mark.parametrize(
    ("host", "reach"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")],  # noqa: S104  (compared only)
)
def test_endpoints_are_where_clients_of_this_machine_go(host, reach):
    assert endpoints(host, Ports(1, 2, 3)) == Endpoints(f"{reach}:1", f"{reach}:2", f"{reach}:3")


def test_a_flag_of_a_later_release_is_told(tmp_path):
    wanted = ServerSpec(
        tmp_path, ("a",), tmp_path / "log", tmp_path, "0" * 12,
        user_flags=(("http-max-input-size", "1"), ("http-thread-count", "2")),
    )  # fmt: skip
    (found,) = flag_findings(wanted, "2.51.0")
    assert (found.code, found.severity) == ("TG863", Severity.ERROR)
    assert "--http-max-input-size" in found.message
    assert list(flag_findings(wanted, "26.08")) == []
