"""Runs fixes in this process on models held in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper

from tritongen.model.agreement import TOLERANCES
from tritongen.model.facts import Precision
from tritongen.optimize.apply_fixes import apply_fixes
from tritongen.optimize.child_jobs import JobResult, TargetRuntime
from tritongen.optimize.fixes import FIXES, FixContext, Rewrite
from tritongen.optimize.onnx_session import OrtRunner
from tritongen.optimize.rewritten_graph import Graph, dims_of

Arrays = Mapping[str, np.ndarray]


def fix_context(**settings: object) -> FixContext:
    """A target that reads what the local onnx writes, unless told otherwise."""
    runtime = {"name": "the target's runtime", "ir": 13, "opset": 26, "ml_opset": 5}
    runtime |= {key: settings.pop(key) for key in runtime if key in settings}
    return FixContext(TargetRuntime(**runtime), **settings)  # type: ignore[arg-type]  # settings pass through


def samples_for(
    model: ModelProto, count: int = 4, rows: int = 1, open_size: int = 3, seed: int = 0
) -> list[dict[str, np.ndarray]]:
    """Random inputs: `rows` for an open first axis, `open_size` for other open axes."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        sample = {}
        for info in Graph(model).inputs:
            kind = info.type
            if kind.HasField("optional_type"):
                kind = kind.optional_type.elem_type
            dims = [
                dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
                for dim in kind.tensor_type.shape.dim
            ]
            shape = [
                size if size is not None else (rows if axis == 0 else open_size)
                for axis, size in enumerate(dims)
            ]
            dtype = helper.tensor_dtype_to_np_dtype(kind.tensor_type.elem_type)
            sample[info.name] = rng.normal(0, 1, shape).astype(dtype)
        found.append(sample)
    return found


def fix(
    model: ModelProto,
    folder: Path,
    samples: Sequence[Arrays] | None = None,
    names: Sequence[str] = tuple(FIXES),
    **context: object,
) -> JobResult:
    """Write the model and apply the fixes to it."""
    source = folder / "original" / "model.onnx"
    source.parent.mkdir(parents=True)
    source.write_bytes(model.SerializeToString())
    work = folder / "work"
    work.mkdir()
    before = source.read_bytes()
    given = samples_for(model) if samples is None else samples
    fixed = apply_fixes(
        source, work, fix_context(**context), given, TOLERANCES[Precision.SINGLE], names
    )
    assert source.read_bytes() == before
    return fixed


def apply_one(name: str, model: ModelProto, **context: object) -> Rewrite | None:
    """Apply one fix to the model in place, without a proof."""
    return FIXES[name].rewrite(Graph(model), fix_context(**context))


def run(model: ModelProto | Path | str, inputs: Arrays, folder: Path | None = None) -> dict:
    """One run by ONNX Runtime."""
    if isinstance(model, Path | str):
        return OrtRunner(Path(model)).run(inputs)
    assert folder is not None
    path = folder / "run.onnx"
    onnx.save(model, path)
    return OrtRunner(path).run(inputs)


def shapes(model: ModelProto) -> dict[str, tuple]:
    """Declared shapes of inputs and outputs."""
    graph = Graph(model)
    return {info.name: dims_of(info) for info in (*graph.inputs, *graph.outputs)}
