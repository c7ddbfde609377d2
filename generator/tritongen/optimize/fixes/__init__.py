"""Fixes: small named rewrites that make a model servable or batchable, one entry a fix."""

from collections.abc import Callable, Mapping

from tritongen.model.variants import FIX_PURPOSES
from tritongen.optimize.fixes.batch_axis import ATTEMPTS, batch_first, free_batch
from tritongen.optimize.fixes.containers import label_indices, optional, sequence, zipmap
from tritongen.optimize.fixes.declarations import ir_version, names, opset, ranks, scalars, sizes
from tritongen.optimize.fixes.fix import CannotFix, Fix, FixContext, Rewrite
from tritongen.optimize.rewritten_graph import Graph

__all__ = ["FIXES", "CannotFix", "Fix", "FixContext", "Rewrite"]

_Rewriting = Callable[[Graph, FixContext], Rewrite | None]
# What each is for, and in which order they are tried: `FIX_PURPOSES`.
_REWRITES: Mapping[str, tuple[_Rewriting, int]] = {
    "label_indices": (label_indices, 1),
    "zipmap": (zipmap, 1),
    "optional": (optional, 1),
    "sequence": (sequence, 2),
    "names": (names, 1),
    "sizes": (sizes, 1),
    "ranks": (ranks, 1),
    "batch_first": (batch_first, 1),
    "free_batch": (free_batch, ATTEMPTS),
    "scalars": (scalars, 1),
    "opset": (opset, 2),
    "ir_version": (ir_version, 1),
}
FIXES: Mapping[str, Fix] = {
    name: Fix(name, purpose.codes, purpose.summary, *_REWRITES[name])
    for name, purpose in FIX_PURPOSES.items()
}
