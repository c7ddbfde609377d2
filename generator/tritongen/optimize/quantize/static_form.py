"""Which form of static quantisation suits the CPU at hand: tried, not assumed."""

from collections.abc import Mapping
from pathlib import Path

from tritongen.model.samples import Array
from tritongen.optimize.apply_fixes import MODEL_FILE
from tritongen.optimize.child_jobs import ChildJob
from tritongen.optimize.onnx_session import RunRefusal
from tritongen.optimize.paired_speed import Point, speedups
from tritongen.optimize.quantize.builders import BuildFault, StaticBuilder
from tritongen.optimize.quantize.prepare import STATIC_TYPES, CannotQuantise, Prepared
from tritongen.optimize.quantize.tensor_ranges import Ranges

# Chosen: at most four forms are timed, before the speed of the kept one is measured at length.
_TRIAL_S = 1.0


def choose_static(
    job: ChildJob,
    prepared: Prepared,
    ranges: Ranges,
    sample: Mapping[str, Array],
) -> StaticBuilder:
    """The fastest of signed and unsigned activations, around few or many kinds of operators.

    x86 multiplies unsigned by signed bytes; how well a runtime copes with signed by signed, and
    whether it pays to keep everything in 8 bits, differs from CPU to CPU.

    Raises:
        CannotQuantise: none of them can be built or run.
    """
    signs = (True,) if job.isa.arm or job.gpu else (True, False)
    best: tuple[float, StaticBuilder] | None = None
    failure = ""
    for number, (types, signed) in enumerate(
        (types, signed) for types in _type_sets(prepared) for signed in signs
    ):
        builder = StaticBuilder(
            prepared, ranges, types, signed=signed, reduce_range=not job.isa.vnni
        )
        folder = Path(job.work) / f"form-{number}"
        folder.mkdir()
        try:
            path = builder.build(folder / MODEL_FILE)
            (speed,) = speedups(Path(job.path), path, [sample], [Point(1, 1)], _TRIAL_S)
        except (BuildFault, RunRefusal) as problem:
            failure = failure or str(problem)
            continue
        if best is None or speed.value > best[0]:
            best = (speed.value, builder)
    if best is None:
        raise CannotQuantise(failure or "no form of it can be built")
    return best[1]


def _type_sets(prepared: Prepared) -> list[tuple[str, ...]]:
    """The heavy operators alone, and all that have a quantised form."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    every = {*QDQRegistry, *QLinearOpsRegistry} & set(prepared.counts)
    heavy = tuple(sorted(every & set(STATIC_TYPES)))
    if not heavy:
        return []
    sets = [heavy]
    if every != set(heavy):
        sets.append(tuple(sorted(every)))
    return sets
