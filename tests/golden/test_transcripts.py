"""What commands say of a project of invented models: one transcript a story, reviewed as text.

A line that begins with ``$`` is run in the project's folder, and what follows it is what was
printed: on stdout as it is, on stderr behind ``!``, and an exit code other than 0 in brackets.
What is no command of the tool is run by a shell; ``evidence`` puts trials into the lock, so that
no story rests on times of the machine that tells it. A story whose name ends in a number is told on
a terminal of so many columns, the others in a pipe.
"""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from support.cli import Project, furnish, sequence
from support.printed import too_wide
from support.result_schemas import DOCUMENTS
from tritongen.cli.main import main
from tritongen.model.evidence import BatchProof, BatchVerdict, Cost, ObservedTensor, Trial
from tritongen.model.lock_files import lock_files
from tritongen.model.tensors import DType
from tritongen.repository.lock_file import read_lock

STORIES = Path(__file__).parent / "transcripts"
# Milliseconds of one row on one thread, by model; others have no trial.
ROW_MS = {"dense": 2.0, "labels": 0.5}


def invented(ms: float) -> Trial:
    """A trial of a model that gains from batches and a little from threads."""
    costs = [Cost(batch, 1, ms * (0.6 + 0.4 * batch), 0.02) for batch in (1, 2, 4, 8, 16)]
    costs += [Cost(1, threads, ms * (0.4 + 0.6 / threads), 0.02) for threads in (2, 4)]
    seen = ObservedTensor("x", DType.FP32, (1, 4))
    proof = BatchProof(BatchVerdict.PROVEN, "equal row by row", (1, 2, 3, 16), 0.0, 1e-5, 16)
    return Trial(
        "onnxruntime 1.28.0", ok=True, inputs=(seen,), outputs=(seen,), proof=proof,
        costs=tuple(costs), zeros_ok=True, peak_bytes=64 << 20, cpu="a CPU", declared=(),
    )  # fmt: skip


def put_evidence(repository: Path) -> None:
    lock = read_lock(repository)
    assert lock is not None
    models = {
        name: replace(model, evidence=replace(model.evidence, trial=invented(ROW_MS[name])))
        if name in ROW_MS
        else model
        for name, model in lock.models.items()
    }
    for path, text in lock_files(replace(lock, models=models)):
        (repository / path).write_text(text)


def shell(command: str) -> int:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    print(done.stdout, end="")
    return done.returncode


def run(command: str) -> int:
    if command == "evidence":
        put_evidence(Path("model_repository"))
        return 0
    program, *words = shlex.split(command)
    return main(words) if program == "tritongen" else shell(command)


def name_of(document: Mapping[str, object], command: str) -> str:
    """The name of what a command printed as JSON."""
    return "error" if "error" in document else command.split()[1]


def told(command: str, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """The part of a transcript that one command makes."""
    yield f"$ {command}"
    code = run(command)
    out, err = capsys.readouterr()
    if "--format json" in command:
        document = json.loads(out)
        jsonschema.validate(document, DOCUMENTS[name_of(document, command)])
    yield from (line.rstrip() for line in out.splitlines())
    yield from (f"! {line}".rstrip() for line in err.splitlines())
    if code:
        yield f"[{code}]"
    yield ""


@pytest.mark.parametrize("story", sorted(path.stem for path in STORIES.iterdir()))
def test_story(story, tmp_path, monkeypatch, capsys, update_golden) -> None:
    expected = STORIES / f"{story}.txt"
    text = expected.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    stated = story.rpartition("-")[2]
    monkeypatch.setenv("COLUMNS", stated if stated.isdigit() else "")
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path.parent / f"{tmp_path.name}-cache"))
    project = furnish(Project(tmp_path))
    project.add("states/model.onnx", sequence())
    commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    found = "\n".join(line for command in commands for line in told(command, capsys))
    found = found.replace(os.fspath(tmp_path), "/project")
    if stated.isdigit():
        assert too_wide(found, int(stated)) == []
    if update_golden:
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")
