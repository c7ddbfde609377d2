"""What each fix is for, apart from the fixes themselves, which need numpy and take their time."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class FixPurpose:
    """What a fix is for.

    Attributes:
        fix: its name.
        codes: findings that it may remove; empty for one that is asked for by name only.
        summary: what it does, a clause.
        moves_axes: whether clients must send or read their tensors in another layout.
    """

    fix: str
    codes: tuple[str, ...]
    summary: str
    moves_axes: bool = False


# In the order in which the fixes are tried: each finds the graph as the ones before left it.
FIX_PURPOSES: Mapping[str, FixPurpose] = MappingProxyType(
    {
        purpose.fix: purpose
        for purpose in (
            FixPurpose("label_indices", (), "text labels become indices"),
            FixPurpose("zipmap", ("TG110",), "maps of a classifier become scores"),
            FixPurpose("optional", ("TG111",), "optional values become tensors"),
            FixPurpose("sequence", ("TG110",), "sequences become tensors"),
            FixPurpose("names", ("TG116",), "unusable names are replaced"),
            FixPurpose("sizes", ("TG128",), "sizes below 1 become dynamic"),
            FixPurpose("ranks", ("TG121", "TG207"), "outputs declare their true shape"),
            FixPurpose(
                "batch_first", ("TG205",), "the batch axis moves to the front", moves_axes=True
            ),
            FixPurpose("free_batch", ("TG122", "TG205"), "a fixed batch axis follows the request"),
            FixPurpose("scalars", ("TG115",), "scalars get one axis"),
            FixPurpose("opset", ("TG118", "TG132"), "the opset suits the target"),
            FixPurpose("ir_version", ("TG117",), "the IR version suits the target"),
        )
    }
)


def fixes_for(code: str) -> tuple[FixPurpose, ...]:
    """The fixes that may remove a finding, in the order in which they are tried."""
    return tuple(purpose for purpose in FIX_PURPOSES.values() if code in purpose.codes)
