"""The reader and the onnx package agree on real and on generated models."""

import math
import warnings
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import ModelProto

from support import onnx_models
from tritongen.formats.format_detection import detect
from tritongen.formats.onnx_reader import read_onnx
from tritongen.formats.reading import ModelSource
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Severity
from tritongen.model.tensors import TensorSpec

ONNXRUNTIME_DATA = Path(onnxruntime.__file__).parent / "datasets"


def read(path: Path) -> ModelFacts:
    return read_onnx(ModelSource(path.parent, path.name, "m"))


def as_declared(spec: TensorSpec) -> tuple[str, str, tuple[int | str | None, ...] | None]:
    return (
        spec.name,
        str(spec.dtype or (spec.declared_type * spec.declared_type.isupper())),
        spec.shape,
    )


def differences(reading: ModelFacts, message: ModelProto) -> list[str]:
    """What the reader and the onnx package see differently."""
    assert reading.onnx is not None
    assert reading.graph is not None
    tensors = list(onnx_models.weights(message))
    floats = onnx_models.ml_floats(message)
    expected = {
        "inputs": [onnx_models.declared(info) for info in onnx_models.inputs(message)],
        "outputs": [onnx_models.declared(info) for info in message.graph.output],
        "ir": message.ir_version,
        "opsets": {item.domain or "ai.onnx": item.version for item in message.opset_import},
        "counts": dict(onnx_models.operator_counts(message)),
        "operators": onnx_models.operator_counts(message).total(),
        "parameters": sum(math.prod(item.dims) for item in tensors) + floats,
        "producer": f"{message.producer_name} {message.producer_version}".strip(),
    }
    found = {
        "inputs": [as_declared(spec) for spec in reading.inputs],
        "outputs": [as_declared(spec) for spec in reading.outputs],
        "ir": reading.onnx.ir_version,
        "opsets": dict(reading.onnx.opsets),
        "counts": dict(reading.graph.counts),
        "operators": reading.graph.operators,
        "parameters": reading.parameters,
        "producer": reading.onnx.producer,
    }
    return [
        f"{key}: {found[key]} instead of {value}"
        for key, value in expected.items()
        if found[key] != value
    ]


@pytest.mark.parametrize(
    "path",
    onnx_models.package_models(),
    ids=lambda path: str(path.relative_to(onnx_models.PACKAGE_DATA)),
)
def test_every_model_of_the_onnx_package(path):
    reading = read(path)
    assert differences(reading, onnx.load(path, load_external_data=False)) == []
    assert [item for item in reading.findings if item.severity is Severity.ERROR] == []
    assert detect(path) is ModelFormat.ONNX


@pytest.mark.parametrize(
    "path", sorted(ONNXRUNTIME_DATA.glob("*.onnx")), ids=lambda path: path.name
)
def test_models_of_the_onnxruntime_package(path):
    reading = read(path)
    assert differences(reading, onnx.load(path)) == []
    assert reading.findings == ()


def test_every_operator_that_onnx_has_a_case_for(tmp_path):
    with warnings.catch_warnings():
        # The cases compute their expected outputs, infinities and all, on import.
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    assert len(cases) > 1000
    wrong = {}
    for case in cases:
        path = onnx_models.save(case.model, tmp_path / "model.onnx")
        reading = read(path)
        problems = differences(reading, case.model)
        problems += [item.message for item in reading.findings]
        if detect(path) is not ModelFormat.ONNX:
            problems.append("not told to be ONNX")
        if problems:
            wrong[case.name] = problems
    assert wrong == {}
