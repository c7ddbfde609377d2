"""What processes and the machine use, and which process is behind a port."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tritongen.system import process_usage
from tritongen.system.process_usage import (
    available_bytes,
    busy_seconds,
    cpu_seconds,
    local_server,
    peak_bytes,
    process_tree,
    reset_peak,
    resident_bytes,
    resident_bytes_of,
)

GONE = 2**22 + 1


def test_a_tree_has_children_of_children():
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    inner = "print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        tree = process_tree(child.pid)
        assert len(tree) == 2
        assert tree[0] == child.pid
        assert set(tree) < set(process_tree(os.getpid()))
        child.stdin.close()
    assert process_tree(GONE) == []


def test_memory_of_several_counts_what_they_share_once():
    own = os.getpid()
    alone = resident_bytes(own)
    assert alone > 1 << 20
    assert resident_bytes_of([own]) == pytest.approx(alone, rel=0.2)
    assert resident_bytes_of([own, own]) < 2 * alone
    assert resident_bytes_of([own, GONE]) == pytest.approx(alone, rel=0.2)
    assert resident_bytes_of([GONE]) == 0


def test_the_peak_begins_anew():
    reset_peak()
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_bytes() > 64 << 20
    del block


def test_work_of_the_machine_is_more_than_that_of_a_process():
    busy = busy_seconds()
    assert busy is not None
    assert cpu_seconds(os.getpid()) < busy
    idle = (os.cpu_count() or 1) * float(Path("/proc/uptime").read_text().split()[0])
    assert busy < idle


def test_memory_that_is_available_is_less_than_there_is():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 1 << 20 < available_bytes() <= total
    assert process_usage._kib("/proc/meminfo", "NoSuchLine") is None
    assert process_usage._kib("/absent", "MemAvailable") is None


SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
server.bind((sys.argv[1], 0))
server.listen()
print(server.getsockname()[1], flush=True)
input()
"""


@pytest.mark.parametrize(("name", "found"), [("tritonserver", True), ("proxy", False)])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_is_found_by_its_port_and_its_name(name, found, host, tmp_path):
    program = tmp_path / name
    program.symlink_to(sys.executable)
    with subprocess.Popen(
        [program, "-c", SERVER, host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        port = int(child.stdout.readline())
        assert local_server("localhost", port) == (child.pid if found else None)
        assert local_server("elsewhere", port) is None
        child.stdin.close()
    assert local_server("127.0.0.1", port) is None


def test_a_connection_is_no_listener():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert len(process_usage._listening_inodes(port)) == 1
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert process_usage._listening_inodes(client.getsockname()[1]) == set()


def test_the_peak_is_the_kernel_s_since_the_reset_else_since_the_start(monkeypatch):
    monkeypatch.setattr(process_usage, "_kib", lambda _path, _key: 5)
    assert peak_bytes() == 5 * 1024
    monkeypatch.setattr(process_usage, "_kib", lambda _path, _key: None)
    assert peak_bytes() > 1 << 20
