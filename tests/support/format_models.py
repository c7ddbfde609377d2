"""Small real models of every format, each made by its own library, and bytes for those that none
here can make.

Every maker writes into a folder and returns the main file. The torch models are so small that a
run takes microseconds.
"""

import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

FEATURES = 5
ROWS = 400


# -- onnx ----------------------------------------------------------------------------------------


def onnx_linear(path: Path, width: int) -> Path:
    """Two layers of `width` over the last axis of [n, 8, width]: more work the wider they are."""
    from onnx import helper, numpy_helper

    from support.serving_models import graph_model, value

    generator = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(generator.normal(size=(width, width)).astype(np.float32), name)
        for name in ("w", "v")
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    shape = ("n", 8, width)
    model = graph_model(nodes, [value("x", shape=shape)], [value("y", shape=shape)], weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


# -- torch ---------------------------------------------------------------------------------------


def torch_linear(path: Path) -> Path:
    """Scripted: nothing but the first weight tells what it takes."""
    import torch

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(6, 8)
            self.second = torch.nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(torch.relu(self.first(x)))

    return _save_script(torch.jit.script(_seeded(Linear)), path)


def torch_wide(path: Path, width: int) -> Path:
    """Scripted: two layers of `width`, more work the wider they are."""
    import torch

    class Wide(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(width, width)
            self.second = torch.nn.Linear(width, width)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(torch.relu(self.first(x)))

    return _save_script(torch.jit.script(_seeded(Wide)), path)


def torch_cell(path: Path) -> Path:
    """Scripted: a recurrent cell, (x, h) → (y, h')."""
    import torch

    class Cell(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = torch.nn.GRUCell(3, 4)
            self.head = torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            new = self.cell(x, h)
            return self.head(new), new

    return _save_script(torch.jit.script(_seeded(Cell)), path)


def torch_image(path: Path) -> Path:
    """Traced: the file keeps the example's type and rank. Returns a tuple of two tensors."""
    import torch

    class Image(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 4, 3, padding=1)
            self.head = torch.nn.Linear(4, 2)

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            pooled = torch.relu(self.convolution(image)).mean((2, 3))
            return self.head(pooled), pooled

    return _save_script(torch.jit.trace(_seeded(Image), torch.rand(1, 3, 8, 8)), path)


def torch_text(path: Path) -> Path:
    """Scripted, two inputs of counts: an embedding takes them."""
    import torch

    class Text(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(100, 8)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            weights = attention_mask.unsqueeze(-1)
            return self.head((self.embedding(input_ids) * weights).sum(1))

    return _save_script(torch.jit.script(_seeded(Text)), path)


def torch_refused(path: Path) -> Path:
    """Takes a number beside its tensor and returns a dictionary."""
    import torch

    class Refused(torch.nn.Module):
        def forward(self, x: torch.Tensor, scale: float) -> dict[str, torch.Tensor]:
            return {"y": x * scale}

    return _save_script(torch.jit.script(Refused()), path)


def torch_weights(path: Path) -> Path:
    """A state dictionary: weights without code."""
    import torch

    torch.manual_seed(0)
    torch.save(torch.nn.Linear(6, 3).state_dict(), path)
    return path


def _seeded(module: type) -> object:
    import torch

    torch.manual_seed(0)
    return module().eval()


def _save_script(module: object, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    module.save(str(path))  # type: ignore[attr-defined]  # a ScriptModule
    return path


_LEAF = {"type": None, "context": None, "children_spec": []}


def _branch(kind: str, context: str, *children: object) -> dict[str, object]:
    return {"type": f"builtins.{kind}", "context": context, "children_spec": list(children)}


_CALL = _branch(
    "tuple", "null", _branch("tuple", "null", _LEAF), _branch("dict", '["mask"]', _LEAF)
)
_WRAPPER = (
    f"""
    in_spec_ = R"({json.dumps([1, _CALL])})";
    out_spec_ = R"({json.dumps([1, _LEAF])})";
"""
    """
AOTI_NOINLINE static void check_input_0(
    int32_t arg0_expected_dtype = aoti_torch_dtype_float32();
    if (arg0_size[0] < 2) {
    if (6 != arg0_size[1]) {
}
AOTI_NOINLINE static void check_input_1(
    int32_t arg1_expected_dtype = aoti_torch_dtype_int64();
    if (4 != arg1_size[0]) {
}
"""
)


def aoti_package() -> bytes:
    """A compiled package of two inputs, as far as it is read: call spec, checks and metadata."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("m/data/aotinductor/model/a.wrapper.cpp", _WRAPPER)
        archive.writestr("m/data/aotinductor/model/a.wrapper.so", b"\x7fELF")
        archive.writestr(
            "m/data/aotinductor/model/a.wrapper_metadata.json",
            '{"AOTI_DEVICE_KEY": "cpu", "AOTI_MACHINE": "x86_64"}',
        )
    return packed.getvalue()


# -- openvino ------------------------------------------------------------------------------------


def openvino_image(path: Path, batch: object = -1) -> Path:
    """A convolution with FP16 weights and two names for its input."""
    import openvino
    from openvino import opset13 as op

    size = batch if isinstance(batch, int) else openvino.Dimension(*batch)
    shape = openvino.PartialShape([size, 3, 8, 8])
    image = op.parameter(shape, np.float32, name="parameter")
    image.output(0).tensor.set_names({"image", "a_name"})
    weights = np.linspace(-1, 1, 4 * 3 * 9, dtype=np.float16).reshape(4, 3, 3, 3)
    kernel = op.convert(op.constant(weights), "f32")
    found = op.relu(op.convolution(image, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
    mean = op.reduce_mean(found, np.array([2, 3], np.int64))
    mean.output(0).tensor.set_names({"score"})
    path.parent.mkdir(parents=True, exist_ok=True)
    model = openvino.Model([op.result(mean)], [image], "image")
    openvino.save_model(model, str(path), compress_to_fp16=False)
    return path


# -- trees ---------------------------------------------------------------------------------------


def table(classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    target = (
        rows[:, 0]
        if classes == 0
        else sum((rows[:, i] > 0).astype(int) for i in range(classes - 1))
    )
    return rows, np.asarray(target)


def xgboost_forest(path: Path, objective: str = "binary:logistic", trees: int = 4) -> Path:
    """JSON or UBJSON, by the suffix."""
    import xgboost

    classes = {"multi": 3, "binar": 2}.get(objective[:5], 0)
    options: dict[str, object] = {"objective": objective, "max_depth": 3, "nthread": 1}
    if classes == 3:
        options["num_class"] = classes
    booster = xgboost.train(options, xgboost.DMatrix(*table(classes)), trees)
    path.parent.mkdir(parents=True, exist_ok=True)
    booster.save_model(str(path))
    return path


def lightgbm_forest(path: Path, objective: str = "multiclass", trees: int = 3) -> Path:
    import lightgbm

    classes = {"multi": 3, "binar": 2}.get(objective[:5], 0)
    options: dict[str, object] = {"objective": objective, "verbose": -1, "num_threads": 1}
    if classes == 3:
        options["num_class"] = classes
    booster = lightgbm.train(options, lightgbm.Dataset(*table(classes)), trees)
    path.parent.mkdir(parents=True, exist_ok=True)
    booster.save_model(str(path))
    return path


def treelite_forest(path: Path) -> Path:
    """A random forest of scikit-learn, by treelite's own import."""
    import treelite
    from sklearn.ensemble import RandomForestClassifier

    rows, target = table(3)
    forest = RandomForestClassifier(5, max_depth=3, random_state=0, n_jobs=1).fit(rows, target)
    path.parent.mkdir(parents=True, exist_ok=True)
    treelite.sklearn.import_model(forest).serialize(str(path))
    return path


def xgboost_old_binary(objective: str = "binary:logistic", features: int = 4) -> bytes:
    """The header of the format that XGBoost 3.1 no longer writes."""
    head = struct.pack("<fIiiiIII", 0.5, features, 0, 0, 0, 1, 7, 1) + bytes(104)
    names = b"".join(
        struct.pack("<Q", len(name)) + name for name in (objective.encode(), b"gbtree")
    )
    return head + names + struct.pack("<i", 12) + bytes(64)


# -- python --------------------------------------------------------------------------------------

PYTHON = """\
import json

import numpy as np
import triton_python_backend_utils as pb_utils

NAME = "Y"


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.add_input({"name": "X", "data_type": "TYPE_FP32", "dims": [4]})
        config.add_output({"name": NAME, "data_type": "TYPE_FP32", "dims": [4]})
        config.set_max_batch_size(8)
        return config

    def initialize(self, args):
        self.config = json.loads(args["model_config"])

    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor(NAME, x * 2 + 1)]))
        return responses
"""


def python_model(path: Path, source: str = PYTHON) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return path


# -- tensorflow: no library here writes it, so its messages are put together by hand --------------


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor_info(dtype: int, dims: Sequence[int] | None) -> bytes:
    if dims is None:
        shape = field(3, 1)
    else:
        shape = b"".join(field(2, field(1, dim) if dim else b"") for dim in dims)
    return field(1, "op:0") + field(2, dtype) + field(3, shape)


def saved_model(
    folder: Path,
    inputs: Mapping[str, bytes],
    outputs: Mapping[str, bytes],
    *,
    tag: str = "serve",
    signature: str = "serving_default",
    variables: int = 0,
) -> Path:
    sides = b"".join(
        field(number, field(1, name) + field(2, info))
        for number, side in ((1, inputs), (2, outputs))
        for name, info in side.items()
    )
    meta = field(4, tag) + field(5, "2.15.0")
    graph = field(1, meta) + field(5, field(1, signature) + field(2, sides))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, graph))
    (folder / "variables").mkdir()
    with (folder / "variables" / "variables.data-00000-of-00001").open("wb") as file:
        file.truncate(variables)
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


def node(name: str, operator: str, *inputs: str, dtype: int = 0, dims: Sequence[int] = ()) -> bytes:
    body = field(1, name) + field(2, operator) + b"".join(field(3, item) for item in inputs)
    if dtype:
        body += field(5, field(1, "dtype") + field(2, field(6, dtype)))
    if dims:
        shape = b"".join(field(2, field(1, dim)) for dim in dims)
        body += field(5, field(1, "shape") + field(2, field(7, shape)))
    return field(1, body)
