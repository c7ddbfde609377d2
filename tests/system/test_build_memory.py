"""Memory of a build: texts, messages and diffs come and go, a model's plan and lock entry stay."""

import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from support.onnx_models import relu, save
from tritongen.model.lock import LOCK_FILE
from tritongen.model.lock_files import lock_files
from tritongen.model.progress import silent
from tritongen.repository.build import BuildMode, BuildOptions, BuildResult, build
from tritongen.repository.gather_evidence import trial_policy
from tritongen.repository.inspect import inspect_models
from tritongen.repository.project import load_project

# Bytes of Python objects that one more model may take at the peak; with texts and messages it took
# half as much again, and several kilobytes beside it that Python does not count.
MOST_BUILT = 10_500
MOST_INSPECTED = 3_000


def project(folder: Path, number: int) -> Path:
    for index in range(number):
        save(relu(), folder / "models" / f"model_{index:04}" / "model.onnx")
    return folder


def built(folder: Path, *, cpus: float = 4, mode: BuildMode = BuildMode.WRITE) -> BuildResult:
    loaded = load_project(folder / "models", folder / "repository", cpus=cpus)
    return build(loaded, BuildOptions(mode, trial_policy(run=False)), silent)


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    root = tmp_path_factory.mktemp("many")
    found = {number: project(root / str(number), number) for number in (5, 40, 140)}
    built(found[5])  # modules and templates are loaded once
    return found


@pytest.mark.parametrize("what", ["the first build", "nothing changed", "everything changed"])
def test_texts_and_messages_are_not_kept(folders: dict[int, Path], what: str) -> None:
    peaks = {}
    for number in (40, 140):
        repository = folders[number] / "repository"
        shutil.rmtree(repository, ignore_errors=True)
        if what != "the first build":
            built(folders[number])
        seen = []
        # Twice: Python's own table of path names grows by a megabyte once in a while.
        for cpus in (3, 4) if what == "everything changed" else (4, 4):
            if what == "the first build":
                shutil.rmtree(repository, ignore_errors=True)
            seen.append(peak(lambda: built(folders[number], cpus=cpus)))  # noqa: B023  (called at once)
        peaks[number] = min(seen)
        assert (folders[number] / "repository" / LOCK_FILE).is_file()
    assert (peaks[140] - peaks[40]) / 100 < MOST_BUILT, peaks


def test_inspection_keeps_facts_alone(folders: dict[int, Path]) -> None:
    peaks = {
        number: peak(
            lambda: inspect_models(folders[number] / "models", Path("none"), trial=False)  # noqa: B023  (called at once)
        )
        for number in (40, 140)
    }
    assert (peaks[140] - peaks[40]) / 100 < MOST_INSPECTED, peaks


def test_a_diff_is_rendered_when_it_is_asked_for(tmp_path: Path) -> None:
    folder = project(tmp_path, 2)
    first = built(folder)
    for path, text in lock_files(first.lock):
        assert (folder / "repository" / path).read_text() == text
    (folder / "models/tritongen.yaml").write_text("models: {model_0001: {instances: 1}}\n")
    result = built(folder, mode=BuildMode.DRY_RUN)
    shown = {item.path: list(item.diff()) for item in result.differences}
    assert sorted(shown) == [
        f"model_000{number}/{name}" for number in (0, 1) for name in ("config.pbtxt", LOCK_FILE)
    ]
    assert "+  count: 1" in "\n".join(shown["model_0001/config.pbtxt"])
