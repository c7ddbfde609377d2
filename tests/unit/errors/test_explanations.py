"""Pages of codes: every code of `check` has one, and its examples raise it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from support.lint import BASE, PYTHON_MODEL
from support.onnx_models import save
from tritongen.cli.main import main
from tritongen.errors import CODES
from tritongen.errors.explanations import explanations

# Families that `check`, `build`, a server, `probe`, `tune` and `observe` tell.
FAMILIES = (
    "TG1", "TG20", "TG21", "TG30", "TG31", "TG4", "TG5", "TG6", "TG70", "TG71", "TG8", "TG9",
)  # fmt: skip
WEIGHTS = {
    "onnxruntime": "model.onnx", "pytorch": "model.pt", "openvino": "model.xml",
    "fil": "xgboost.model", "python": "model.py",
}  # fmt: skip
_NAMED = re.compile(r"# (\w+)/config\.pbtxt\n")
_OPTIONS = re.compile(r"# tritongen check (.*)\n")
_MODEL = re.compile(r"# model: (.*) -> (.*)\n")
_TENSOR = re.compile(r"(\w+) (\w+) \[([^]]*)\]")
_FIELD = re.compile(r"(\w+)", re.ASCII)
_ONNX_TYPES = {"FP32": onnx.TensorProto.FLOAT, "BF16": onnx.TensorProto.BFLOAT16}

EXAMPLES = [code for code, page in explanations().items() if page.examples]


def test_every_code_of_check_has_a_page():
    wanted = [code for code in CODES if code.startswith(FAMILIES)]
    assert list(explanations()) == wanted


@pytest.mark.parametrize("code", explanations())
def test_a_page_is_complete_and_short(code):
    page = explanations()[code]
    sentences = re.findall(r"[.?!](?:\s|$)", page.meaning)
    assert 1 <= len(sentences) <= 6, page.meaning
    assert page.meaning[0].isupper() or page.meaning[0] in "`0"
    assert page.meaning.endswith(".")
    assert "#" not in re.sub(r"`[^`]*`", "", page.meaning)


def tensors(text: str) -> Iterator[onnx.ValueInfoProto]:
    """Tensors as an example writes them: ``x FP32 [-1, 4], y FP32 []``."""
    for name, dtype, dims in _TENSOR.findall(text):
        shape = [None if dim == "-1" else int(dim) for dim in dims.split(", ") if dim]
        yield onnx.helper.make_tensor_value_info(name, _ONNX_TYPES[dtype], shape)


def write_onnx(path: Path, example: str) -> None:
    """The model that an example is about; one that suits most of them when it names none."""
    said = _MODEL.search(example)
    inputs, outputs = said.groups() if said else ("x FP32 [-1, 4]", "y FP32 [-1, 2]")
    source, target = list(tensors(inputs)), list(tensors(outputs))
    nodes = [onnx.helper.make_node("Identity", [source[0].name], [target[0].name])]
    graph = onnx.helper.make_graph(nodes, "g", source, target)
    opset = onnx.helper.make_opsetid("", 17)
    save(onnx.helper.make_model(graph, ir_version=8, opset_imports=[opset]), path)


def complete(example: str) -> str:
    """An example of one field stands in a configuration with the rest."""
    if re.search(r"^(backend|platform):", example, re.MULTILINE):
        return example
    stated = {found[1] for line in example.splitlines() if (found := _FIELD.match(line))}
    rest = [line for line in BASE.splitlines() if _FIELD.match(line)[1] not in stated]
    return "\n".join([example, *rest, ""])


def write_repository(folder: Path, examples: tuple[str, ...]) -> list[str]:
    """A repository of the examples of one page; the options of `check` that they state."""
    options: list[str] = []
    for example in examples:
        named = _NAMED.match(example)
        model = folder / (named[1] if named else "m")
        text = complete(example)
        backend = re.search(r'^backend: "(\w+)"', text, re.MULTILINE)
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text(text)
        name = WEIGHTS.get(backend[1] if backend else "onnxruntime", "model.py")
        if name == "model.onnx":
            write_onnx(model / "1" / name, example)
        else:
            (model / "1" / name).write_bytes(PYTHON_MODEL)
        if said := _OPTIONS.search(example):
            options += said[1].split()
    return options


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_raises_its_code(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = write_repository(tmp_path / "repo", explanations()[code].examples)
    main(["check", "repo", *options, "--format", "json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    assert code in {item["code"] for item in found}, found
