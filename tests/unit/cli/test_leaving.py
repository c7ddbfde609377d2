"""The end of the process: nothing that a usual end does for others is left out."""

import os
import subprocess
import sys

import pytest

# The command line in an interpreter where others have registered what is to be done at its end.
_RUN = """
import atexit, sys, threading, time

def last():
    print("last")

def fails():
    raise ValueError("told at the end")

def late(stopped):
    stopped.wait(0.2)
    print("thread")

atexit.register(last)
if "fails" in sys.argv[1]:
    atexit.register(fails)
if "thread" in sys.argv[1]:
    threading.Thread(target=late, args=(threading.Event(),)).start()
if "daemon" in sys.argv[1]:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
sys.argv = ["tritongen", *sys.argv[2:]]
from tritongen.__main__ import main
sys.exit(main())
"""
REFUSED = ("check", "absent")


def run(how: str, *words: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _RUN, how, *words],
        check=False,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        **{"stdout": subprocess.PIPE, **options},
    )


@pytest.mark.parametrize("how", ["plain", "daemon", "fails", "thread"])
def test_what_others_registered_is_run_and_the_code_is_kept(how, tmp_path):
    done = run(how, *REFUSED, cwd=tmp_path)
    assert done.returncode == 2
    assert "error TG" in done.stderr
    assert done.stdout.endswith("last\n")
    assert ("thread\n" in done.stdout) == (how == "thread")
    assert ("told at the end" in done.stderr) == (how == "fails")


def test_a_reader_that_has_gone(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = run("plain", *REFUSED, cwd=tmp_path, stdout=writer)
    os.close(writer)
    # The command's own words went to the other stream; what is lost is told as Python tells it.
    assert done.returncode == 120
    assert "BrokenPipeError" in done.stderr
