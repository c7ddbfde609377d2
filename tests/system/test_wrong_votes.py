"""Decision trees of two classes: a defect of ONNX Runtime 1.26 and 1.27, and who is told of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from skl2onnx import to_onnx

from support.cli import Project
from support.optimize.classifiers import classifier
from tritongen.trial.target_library import target_library

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy, onnxruntime
session = onnxruntime.InferenceSession("forest.onnx")
rows = numpy.load("rows.npy")
print(*session.run(None, {session.get_inputs()[0].name: rows})[0].tolist())
"""


def tensors_only(kind: str) -> onnx.ModelProto:
    """The export without the map of classes, which Triton does not serve."""
    known = classifier(kind)
    exported: onnx.ModelProto = to_onnx(known.fitted, known.rows[:1], options={"zipmap": False})
    return exported


@pytest.mark.parametrize(
    ("triton", "version", "right"), [("26.07", "1.27.0", False), ("26.08", "1.28.0", True)]
)
def test_the_warning_is_given_where_the_labels_are_wrong(
    project: Project, tmp_path: Path, triton: str, version: str, right: bool
):
    forest = classifier("forest")
    models = {name: tensors_only(name) for name in ("forest", "boosting")}
    onnx.save(models["forest"], tmp_path / "forest.onnx")
    np.save(tmp_path / "rows.npy", forest.rows)
    words = [sys.executable, "-c", SCRIPT, target_library(version).folder]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    labels = [int(word) for word in run.stdout.split()]
    assert (labels == forest.fitted.predict(forest.rows).tolist()) is right

    for name, model in models.items():
        project.add(f"{name}/model.onnx", model)
    project.write("models/tritongen.yaml", f'target: {{triton: "{triton}"}}\n')
    found = project.json("build", "models")["findings"]
    told = [item for item in found if item["code"] == "TG219"]
    assert [item["model"] for item in told] == ([] if right else ["forest"])
