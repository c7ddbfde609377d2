"""A server that has ended is told with its last words, and with its models where they are why."""

from types import SimpleNamespace

import pytest

from tritongen.serving.running_server import RunningServer, end_problem
from tritongen.triton.server import ModelStatus

LOG = """\
E0101 00:00:00.000000 1 model_lifecycle.cc:654] "failed to load 'm' version 1: Internal: broken"
+-------+
| Model |
last words
"""


@pytest.mark.parametrize(("code", "named"), [("TG820", True), ("TG821", False)])
def test_models_are_named_where_none_loaded(code, named):
    problem = end_problem(code, "it ended", "log", LOG)
    assert (problem.code, problem.what, problem.where) == (code, "it ended", "log")
    told = tuple(problem.details)
    assert any(line.startswith("model m: ") and "broken" in line for line in told) is named
    assert told[-1] == "last words"
    assert not any(line.startswith(("|", "+-")) for line in told)


READY = ModelStatus("m", ready=True)


@pytest.mark.parametrize(
    ("backend", "running", "reason"),
    [
        ("python", 5, ""),
        ("python", 6, ""),
        ("python", 3, "2 of 5 backend processes died"),
        ("onnxruntime", 0, ""),
    ],
)
def test_a_model_whose_processes_died_is_not_ready(backend, running, reason):
    server = SimpleNamespace(_python_backends={"python"})
    config = {"backend": backend, "instance_group": [{"count": "2"}, {"count": 3}]}
    found = RunningServer._with_dead_stubs(server, READY, config, running)
    assert (found.ready, found.reason) == (not reason, reason)


@pytest.mark.parametrize(
    ("lines", "told"), [(0, ()), (1, ("c",)), (2, ("b", "c")), (9, ("b", "c"))]
)
def test_the_last_lines_of_a_log(lines, told):
    server = SimpleNamespace(_log_text=lambda _lines: "b\nc\n")
    assert RunningServer.logs(server, lines) == told
