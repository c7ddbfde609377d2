"""The image of a repository that nobody planned, by its files; nothing is started."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from support.cli import Project
from support.onnx_models import model, save, value

DRY = ("up", "--runtime", "docker", "--dry-run")


def onnx_file(folder: Path, *, ir: int = 9, opset: int = 19) -> None:
    """One operator, in a file that claims this IR version and opset."""
    message = model([onnx.helper.make_node("Relu", ["x"], ["y"])], [value("x")], [value("y")])
    message.ir_version = ir
    message.opset_import[0].version = opset
    save(message, folder / "1/model.onnx")


def configured(project: Project, name: str, backend: str) -> Path:
    """A model's folder with a configuration as a person writes it."""
    folder = project.repository / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(f'backend: "{backend}"\n')
    return folder


def known_opset(project: Project) -> None:
    onnx_file(configured(project, "m", "onnxruntime"))


def newer_opset(project: Project) -> None:
    onnx_file(configured(project, "m", "onnxruntime"), opset=30)


def used_by_a_program(project: Project) -> None:
    """A newer file, which the program beside it loads with a library of its own."""
    folder = configured(project, "m", "python")
    onnx_file(folder, opset=30)
    (folder / "1/model.py").write_text("")


def old_backend(project: Project) -> None:
    onnx_file(configured(project, "m", "onnxruntime"), ir=10, opset=21)
    configured(project, "old", "tensorflow")


def plan(project: Project) -> None:
    folder = configured(project, "p", "tensorrt")
    (folder / "1/model.plan").write_bytes(b"ptrt\0\0\0\0" + bytes([232]) + bytes(64))


def damaged(project: Project) -> None:
    folder = configured(project, "m", "onnxruntime")
    (folder / "1/model.onnx").write_bytes(b"no model")


@pytest.mark.parametrize(
    ("write", "tag", "words"),
    [
        (known_opset, "26.08", "its ONNX Runtime 1.28.0 loads IR version 9, opset 19"),
        (newer_opset, "26.11", "m/1/model.onnx has opset 30 of ai.onnx"),
        (used_by_a_program, "26.08", "no release is planned for; 26.08 holds python"),
        (old_backend, "25.02", "the last release whose image holds onnxruntime, tensorflow"),
        (plan, "26.08", "p/1/model.plan is a plan of TensorRT 8.5"),
        (damaged, "26.08", "no release is planned for"),
    ],
)
def test_the_tag_and_the_reason(
    project: Project, write: Callable[[Project], None], tag: str, words: str
) -> None:
    write(project)
    image = f"nvcr.io/nvidia/tritonserver:{tag}-py3"
    ran = project.run(*DRY)
    assert f" {image} " in ran.out
    assert ran.err.startswith(f"image {image}: ")
    assert words in ran.err
    document = project.json(*DRY)
    assert document["image"] == image
    assert words in document["reason"]
