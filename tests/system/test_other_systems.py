"""On systems other than Linux: most commands work, and what cannot says so, and what to do."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tritongen
from support import other_system
from support.cli import FREE_PORTS, Project, Ran

PACKAGE = Path(tritongen.__file__).parent
# They run in a process that only Linux starts, or drive sockets there.
LINUX_ALONE = frozenset({"probe/engines/http_engine.py", "probe/engines/grpc_engine.py"})


def elsewhere(project: Project, *arguments: str, expect: int = 0) -> Ran:
    """A command as another system runs it."""
    done = subprocess.run(
        [sys.executable, "-P", other_system.__file__, *arguments],
        cwd=project.folder, env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == expect, (
        f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def document(project: Project, *arguments: str, expect: int = 0) -> dict[str, Any]:
    found = json.loads(elsewhere(project, *arguments, "--format", "json", expect=expect).out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    "command",
    [
        "inspect models", "init models --stdout", "check", "explain dense", "explain TG510",
        "build models --no-trial --weights none -o elsewhere", "client dense",
        "client dense --lang python --protocol grpc", "client dense --lang openapi",
        "export compose -o deploy", "completion bash", "build models --check",
    ],
)  # fmt: skip
def test_a_command_that_needs_no_server_of_its_own_works(served: Project, command: str):
    assert elsewhere(served, *command.split()).out


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_elsewhere_is_asked_and_measured(served: Project, protocol: str):
    url = served.state()["endpoints"][protocol]
    address = ("-u", f"{protocol}://{url}")
    assert all(one["ready"] for one in document(served, "status", *address)["models"])
    load = ("probe", *address, "-m", "dense", "--duration", "1")
    for words in (("--client", "tritonclient", "--concurrency", "2"), ("--rate", "50")):
        (level,) = document(served, *load, *words)["levels"]
        assert level["client"]["name"] == "tritonclient"
        assert level["requests"]["failed"] == 0
    # Due times are kept without Linux's timers, too.
    assert level["requests"]["sent"] == pytest.approx(50, rel=0.4)
    refused = document(served, *load, "--client", "fast", expect=2)["error"]
    assert (refused["code"], "Linux" in refused["message"]) == ("TG914", True)


@pytest.mark.parametrize(
    ("command", "code", "cure"),
    [
        ("build models --remeasure", "TG015", "--no-trial"),
        ("inspect models --trial -r none", "TG015", "--no-trial"),
        ("up --runtime embedded", "TG803", "--runtime docker"),
        ("up", "TG840", ""),
    ],
)
def test_what_needs_linux_says_so_and_what_to_do(
    built: Project, command: str, code: str, cure: str
):
    ports = FREE_PORTS if command.startswith("up") else ()
    problem = document(built, *command.split(), *ports, expect=3)["error"]
    assert problem["code"] == code
    assert cure in problem["fix"]


def test_verify_needs_linux_for_its_runs(served: Project):
    url = served.state()["endpoints"]["http"]
    problem = document(served, "verify", "-u", url, expect=3)["error"]
    assert (problem["code"], "Linux container" in problem["fix"]) == ("TG015", True)


def test_no_module_takes_what_only_linux_has_when_it_is_imported():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith("serving/backends/") or name in LINUX_ALONE:
            continue
        for node in ast.parse(path.read_text()).body:
            names = [one.name for one in getattr(node, "names", ())]
            hidden = other_system.HIDDEN & {*names, getattr(node, "module", None)}
            found += [f"{name}: {one}" for one in hidden]
            if isinstance(node, ast.Assign | ast.AnnAssign) and any(
                word in ast.unparse(node) for word in ("EPOLL", "sched_getaffinity", "eventfd")
            ):
                found.append(f"{name}: {ast.unparse(node)}")
    assert found == []
