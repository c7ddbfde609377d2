"""Fixes: small named rewrites that make a model servable or batchable, one entry a fix."""

from collections.abc import Mapping
from types import MappingProxyType

from tritongen.transform.fixes.batch_axis import ATTEMPTS, batch_first, free_batch
from tritongen.transform.fixes.containers import label_indices, optional, sequence, zipmap
from tritongen.transform.fixes.declarations import names, ranks, scalars, sizes
from tritongen.transform.fixes.fix import CannotFix, Fix, FixContext, Rewrite
from tritongen.transform.fixes.versions import ir_version, opset

__all__ = ["FIXES", "CannotFix", "Fix", "FixContext", "Rewrite", "fixes_for"]

# In the order in which they are tried: each finds the graph as the ones before left it.
FIXES: Mapping[str, Fix] = MappingProxyType(
    {
        fix.name: fix
        for fix in (
            Fix("label_indices", (), "text labels become indices", label_indices),
            Fix("zipmap", ("TG110",), "maps of a classifier become scores", zipmap),
            Fix("optional", ("TG111",), "optional values become tensors", optional),
            Fix("sequence", ("TG110",), "sequences become tensors", sequence, attempts=2),
            Fix("names", ("TG116",), "unusable names are replaced", names),
            Fix("sizes", ("TG128",), "sizes below 1 become dynamic", sizes),
            Fix("ranks", ("TG121", "TG207"), "outputs declare their true shape", ranks),
            Fix("batch_first", ("TG205",), "the batch axis moves to the front", batch_first),
            Fix(
                "free_batch",
                ("TG122", "TG205"),
                "a fixed batch axis follows the request",
                free_batch,
                attempts=ATTEMPTS,
            ),
            Fix("scalars", ("TG115",), "scalars get one axis", scalars),
            Fix("opset", ("TG118", "TG132"), "the opset suits the target", opset, attempts=2),
            Fix("ir_version", ("TG117",), "the IR version suits the target", ir_version),
        )
    }
)


def fixes_for(code: str) -> tuple[Fix, ...]:
    """The fixes that may cure a finding, in the order in which they are tried."""
    return tuple(fix for fix in FIXES.values() if code in fix.codes)
