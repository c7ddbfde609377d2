"""Arguments that other users cannot read, of a real process."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tritongen.serving.embedded import embedded_preflight
from tritongen.serving.embedded.hidden_arguments import Program, start

SECRET, OTHER = "s3cret-of-the-tool", "s3cret-of-nobody"
# Tells its arguments and variables, and those of a child, then waits for its end.
PROGRAM = """
import json, os, subprocess, sys, time
child = subprocess.run(["env", "-0"], capture_output=True, check=True).stdout.decode()
for name, mode in (("region", 0o644), ("tool", 0o755)):
    os.fchmod(os.open(name, os.O_CREAT | os.O_WRONLY, 0o666), mode)
print(json.dumps([sys.argv[1:], dict(os.environ), child]), flush=True)
time.sleep(600)
"""


@pytest.fixture
def program(tmp_path) -> Program:
    arguments = [
        sys.executable, "-c", PROGRAM, f"--key={SECRET}", "plain ü", f"{OTHER},{SECRET}", "",
    ]  # fmt: skip
    variables = {
        "A": "1",
        "LD_LIBRARY_PATH": "/nowhere",
        "ODD": "a=b\n",
        "PATH": os.environ["PATH"],
    }
    output = (tmp_path / "out").open("wb")
    return Program(arguments, variables, (SECRET, OTHER), tmp_path, output)


def told(process: "subprocess.Popen[bytes]", program: Program) -> list:
    path = program.folder / "out"
    while not path.read_bytes().endswith(b"\n"):
        assert process.poll() is None, path.read_text()
        time.sleep(0.01)
    return json.loads(path.read_text().splitlines()[-1])


def of(pid: int, file: str) -> list[str]:
    return Path(f"/proc/{pid}/{file}").read_bytes().decode().split("\0")[:-1]


def test_a_program_gets_what_no_command_line_shows(program):
    process = start(program)
    try:
        arguments, variables, child = told(process, program)
        assert arguments == [*program.arguments[3:]]
        assert variables.items() >= program.variables.items()
        shown = of(process.pid, "cmdline")
        assert shown[3:] == ["--key=hidden", "plain ü", "hidden,hidden", ""]
        for text in (*variables.values(), child, *of(process.pid, "cmdline")):
            assert SECRET not in text
            assert OTHER not in text
        assert "TRITONGEN_" not in "".join((*variables, child))
        assert f"TRITONGEN_ARGUMENT_3=--key={SECRET}" in of(process.pid, "environ")
        assert process.poll() is None
    finally:
        process.kill()
    assert process.wait() == -9


def test_what_it_makes_is_for_its_user_alone(program, tmp_path):
    process = start(program)
    told(process, program)
    process.kill()
    process.wait()
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("region", "tool")}
    assert modes == {"region": 0o600, "tool": 0o755}, (
        "only what Boost does to its regions is undone"
    )


@pytest.mark.parametrize(
    ("path", "error"), [("/nowhere/program", FileNotFoundError), ("/etc/passwd", PermissionError)]
)
def test_a_program_that_cannot_be_run(program, path, error):
    with pytest.raises(error) as caught:
        start(Program([path, SECRET], {}, (SECRET,), program.folder, program.output))
    assert caught.value.filename == path


FORBIDDEN = """
import ctypes, struct, sys
from pathlib import Path
from tritongen.serving.embedded import embedded_preflight
from tritongen.serving.embedded.hidden_arguments import Program, start

# Load the number of the system call; 101, ptrace, is refused, and everything else is done.
filters = (0x20, 0, 0, 0), (0x15, 0, 1, 101), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *item) for item in filters))
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
header = struct.pack("HxxxxxxP", len(filters), ctypes.addressof(code))
assert libc.prctl(22, 2, ctypes.c_char_p(header), 0, 0) == 0
with Path(sys.argv[1]).open("wb") as output:
    words = ["/bin/echo", "key=" + sys.argv[2]]
    print(start(Program(words, {}, (sys.argv[2],), Path("/"), output)).wait())
"""


def test_where_nothing_may_be_traced_it_runs_all_the_same_and_says_so(tmp_path):
    output = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", FORBIDDEN, output, SECRET],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"
    warning, line = output.read_text().splitlines()
    assert "can read this server's keys" in warning
    assert line == f"key={SECRET}"


@pytest.mark.parametrize(
    ("scope", "user", "hides"),
    [(0, 1000, True), (1, 1000, True), (2, 1000, False), (2, 0, True), (3, 0, False)],
)
def test_what_the_kernel_lets_trace(monkeypatch, scope, user, hides):
    monkeypatch.setattr(embedded_preflight, "ptrace_scope", lambda: scope)
    monkeypatch.setattr(embedded_preflight.os, "geteuid", lambda: user)
    assert embedded_preflight._hides_arguments() is hides
