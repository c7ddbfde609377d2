"""Variants that differ from their model by an execution accelerator in the configuration alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tritongen.model.variants import VARIANTS_FOLDER, Variant, Verdict
from tritongen.optimize.accelerators import Accelerated, accelerators
from tritongen.optimize.onnx_files import link_or_copy
from tritongen.optimize.optimization import Base, Optimization
from tritongen.repository.stored_variants import drop_variant, keep_variant, source_hashes
from tritongen.system.files import translated

# Chosen: what an engine is made for where the user names no batch.
_MAX_BATCH_ROWS = 32
INT8 = "int8-static"


def offer_accelerators(work: Optimization, base: Base) -> None:
    """What the target's devices could switch on: shown, or kept as variants.

    Raises:
        EnvironmentProblem: TG004 or TG005, the disk.
    """
    keep = work.options.accelerate
    quantised = next((item for item in work.variants if item.name == INT8 and item.kept), None)
    found = accelerators(
        base.inputs,
        gpus=work.project.intent.target.gpus,
        isa=work.job.isa,
        max_batch=work.intent.max_batch_size or (_MAX_BATCH_ROWS if base.batched else 1),
        quantised=quantised is not None,
    )
    for item in found:
        work.steps.append(replace(item.step, applied=keep))
        if not keep:
            continue
        if item.quantised and quantised is not None:
            files = [(name, f"{quantised.folder}/{name}") for name, _ in quantised.files]
            _keep(work, item, files, quantised)
        else:
            _keep(work, item, list(_files(base)), _record(work, base))


def _record(work: Optimization, base: Base) -> Variant:
    """The record of the model that is accelerated, as it is before."""
    return Variant(
        name="",
        model=work.name,
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
    work: Optimization, item: Accelerated, files: Sequence[tuple[str, str]], record: Variant
) -> None:
    step = replace(item.step, applied=True)
    drop_variant(work.root, work.name, step.name)
    folder = work.staging / f"{work.name}-{step.name}"
    with translated(work.root / VARIANTS_FOLDER):
        folder.mkdir()
        for name, source in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy((work.root / Path(source)).resolve(), target)
    variant = replace(
        record,
        name=step.name,
        sources=source_hashes(work.root, work.facts),
        steps=(*record.steps, step),
        recipe={**record.recipe, "accelerator": step.name},
        verdict=Verdict.NOT_MEASURED,
        reason=step.reason,
        speedup=None,
        speedups=(),
    )
    names = [name for name, _ in files]
    work.variants.append(keep_variant(work.root, folder, names, variant))
