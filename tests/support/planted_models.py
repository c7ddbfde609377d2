"""Twenty models with one property each, whose verdicts are known: good ones beside broken ones."""

import numpy as np
import onnx

from support import axis_models as axes
from support import trial_models as made
from support.cli import Project, dense
from support.python_models import CALLER, PHOTOS, REPEAT, photos
from support.trial_models import FLOAT, constant, model, node

INTENT = """\
target: { cpus: 1 }
models:
  photos: { samples: { IMAGE: shots/*.jpg } }
  loud: { samples: loud/samples.npz }
"""


def coupled_when_loud() -> onnx.ModelProto:
    """Beyond 100 the largest value of all rows is added to every row."""
    return model(
        [
            node("Abs", "x", "sizes"),
            node("ReduceMax", "sizes", "most", keepdims=0),
            node("Sub", "most hundred", "above"),
            node("Relu", "above", "more"),
            node("Add", "x more", "y"),
        ],
        [("x", FLOAT, ["N", 4])],
        [("y", FLOAT, ["N", 4])],
        [constant("hundred", 100.0, "float32")],
    )


def plant(project: Project) -> Project:
    """All twenty, with what tritongen.yaml says of them."""
    photos(project)
    project.write("models/asks/1/model.py", PHOTOS)
    project.write("models/caller/1/model.py", CALLER)
    project.write("models/repeat/1/model.py", REPEAT)
    whole = dense().SerializeToString()
    served = {
        "baked": axes.baked_in(),
        "dense": dense(),
        "eights": axes.eights(),
        "equal": axes.equal_lengths(),
        "fourth": axes.wrong_from_the_fourth_row_on(),
        "loud": coupled_when_loud(),
        "quiet": coupled_when_loud(),
        "state": axes.recurrent(),
        "table": axes.table_of_positions(),
    }
    broken = {
        "cut": whole[: len(whole) // 2],
        "latin": made.two_makers("result").SerializeToString().replace(b"result", b"r\xe9sult"),
        # What leads nowhere in the graph is told without a run, as is a file that is cut.
        **{name: proto for name, (proto, _) in made.unloadable().items() if name != "input"},
    }
    for name, content in {**served, **broken}.items():
        project.add(f"{name}/model.onnx", content)
    loud = np.random.default_rng(0).normal(0, 1000, (12, 4)).astype(np.float32)
    np.savez(project.models / "loud" / "samples.npz", x=loud)
    project.write("models/tritongen.yaml", INTENT)
    return project
