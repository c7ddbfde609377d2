"""Which rights a kernel of each age can withhold, and limits that are only ever lowered."""

import resource
import subprocess
import sys

import pytest

from tritongen.system import sandbox
from tritongen.system.sandbox import SandboxGap, landlock_version, sandbox_gaps


@pytest.mark.parametrize(
    ("version", "moves", "truncates", "devices"),
    [(1, False, False, False), (2, True, False, False), (3, True, True, False),
     (4, True, True, False), (5, True, True, True), (6, True, True, True)],
)  # fmt: skip
def test_a_kernel_withholds_what_it_knows(version, moves, truncates, devices):
    rights = sandbox._rights(version)
    assert rights & sandbox._WRITE_FILE
    assert bool(rights & sandbox._REFER) is moves
    assert bool(rights & sandbox._TRUNCATE) is truncates
    assert bool(rights & sandbox._IOCTL_DEVICE) is devices
    assert rights & sandbox._CHANGE_FOLDER & ~sandbox._REFER


LIMITS = """
import resource
from tritongen.system.sandbox import lower_limit
kind = resource.RLIMIT_NOFILE
resource.setrlimit(kind, (64, 128))
lower_limit(kind, 4096)
print(resource.getrlimit(kind))
lower_limit(kind, 32)
print(resource.getrlimit(kind))
kind = resource.RLIMIT_CPU
lower_limit(kind, 1000)
print(resource.getrlimit(kind))
"""


def test_a_limit_is_never_raised():
    out = subprocess.check_output([sys.executable, "-c", LIMITS], text=True)
    before = resource.getrlimit(resource.RLIMIT_CPU)[1]
    cpu = 1000 if before == resource.RLIM_INFINITY else min(1000, before)
    assert out.splitlines() == ["(128, 128)", "(32, 32)", f"({cpu}, {cpu})"]


WRITES = """
import sys
from pathlib import Path
from tritongen.system.sandbox import enter_sandbox
own, other = map(Path, sys.argv[1:])
gaps = enter_sandbox([own])
(own / "mine").write_text("x")
try:
    (other / "theirs").write_text("x")
except OSError:
    print("refused")
open("/dev/null", "w").write("x")
import socket
try:
    socket.socket(socket.AF_UNIX)
except OSError:
    print("no socket")
print(sorted(gap.name for gap in gaps))
"""


def test_what_a_sandbox_leaves_open_is_what_it_says(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    command = [sys.executable, "-c", WRITES, str(own), str(other)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    gaps = set(sandbox_gaps())
    assert out[-1] == str(sorted(gap.name for gap in gaps))
    assert ("refused" in out) == (SandboxGap.FILES not in gaps)
    assert ("no socket" in out) == (SandboxGap.NETWORK not in gaps)
    assert (own / "mine").exists()
    assert (SandboxGap.FILES in gaps) == (landlock_version() == 0)
