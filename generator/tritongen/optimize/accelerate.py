"""Variants that differ from their model by an execution accelerator in the configuration alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tritongen.model.variants import VARIANTS_FOLDER, Variant, Verdict
from tritongen.optimize.accelerators import Accelerated, accelerators
from tritongen.optimize.optimization import Base, Bench
from tritongen.optimize.onnx_files import link_or_copy
from tritongen.repository.stored_variants import drop_variant, keep_variant, source_hashes
from tritongen.system.files import translated

_MAX_BATCH = 32
INT8 = "int8-static"


def offer_accelerators(bench: Bench, base: Base, *, keep: bool) -> None:
    """What the target's devices could switch on: shown, or kept as variants.

    Raises:
        EnvironmentProblem: TG004 or TG005, the disk.
    """
    quantised = next((item for item in bench.variants if item.name == INT8 and item.kept), None)
    found = accelerators(
        base.inputs,
        gpus=bench.project.intent.target.gpus,
        isa=bench.isa,
        max_batch=bench.intent.max_batch_size or (_MAX_BATCH if base.batched else 1),
        quantised=quantised is not None,
    )
    for item in found:
        bench.steps.append(replace(item.step, applied=keep))
        if not keep:
            continue
        if item.quantised and quantised is not None:
            files = [(name, f"{quantised.folder}/{name}") for name, _ in quantised.files]
            _keep(bench, item, files, quantised)
        else:
            _keep(bench, item, list(_files(base)), _record(bench, base))


def _record(bench: Bench, base: Base) -> Variant:
    """The record of the model that is accelerated, as it is before."""
    return Variant(
        name="",
        model=bench.facts.name,
        path="",
        steps=base.steps,
        labels=base.labels,
        labels_of=base.labels_of,
    )


def _files(base: Base) -> Iterator[tuple[str, str]]:
    """Name in the variant's folder and place below the models folder, the main file first."""
    refs = base.facts.versions[-1].files
    above = PurePosixPath(refs[0].target).parent
    for ref in refs:
        yield str(PurePosixPath(ref.target).relative_to(above)), ref.source


def _keep(
    bench: Bench, item: Accelerated, files: Sequence[tuple[str, str]], record: Variant
) -> None:
    step = replace(item.step, applied=True)
    drop_variant(bench.project.root, bench.facts.name, step.name)
    work = bench.staging / f"{bench.facts.name}-{step.name}"
    with translated(bench.project.root / VARIANTS_FOLDER):
        work.mkdir()
        for name, source in files:
            target = work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy((bench.project.root / Path(source)).resolve(), target)
    variant = replace(
        record,
        name=step.name,
        sources=source_hashes(bench.project.root, bench.facts),
        steps=(*record.steps, step),
        recipe={**record.recipe, "accelerator": step.name},
        verdict=Verdict.NOT_MEASURED,
        reason=step.reason,
        speedup=None,
        speedups=(),
    )
    names = [name for name, _ in files]
    bench.variants.append(keep_variant(bench.project.root, work, names, variant))
