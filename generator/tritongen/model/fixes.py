"""What each fix cures, apart from the fixes themselves, which need numpy and take their time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Cure:
    """What a fix is for.

    Attributes:
        fix: its name.
        codes: findings that it may cure; empty for one that is asked for by name only.
        summary: what it does, a clause.
        moves_axes: whether clients must send or read their tensors in another layout.
    """

    fix: str
    codes: tuple[str, ...]
    summary: str
    moves_axes: bool = False


# In the order in which the fixes are tried: each finds the graph as the ones before left it.
CURES: Mapping[str, Cure] = MappingProxyType(
    {
        cure.fix: cure
        for cure in (
            Cure("label_indices", (), "text labels become indices"),
            Cure("zipmap", ("TG110",), "maps of a classifier become scores"),
            Cure("optional", ("TG111",), "optional values become tensors"),
            Cure("sequence", ("TG110",), "sequences become tensors"),
            Cure("names", ("TG116",), "unusable names are replaced"),
            Cure("sizes", ("TG128",), "sizes below 1 become dynamic"),
            Cure("ranks", ("TG121", "TG207"), "outputs declare their true shape"),
            Cure("batch_first", ("TG205",), "the batch axis moves to the front", moves_axes=True),
            Cure("free_batch", ("TG122", "TG205"), "a fixed batch axis follows the request"),
            Cure("scalars", ("TG115",), "scalars get one axis"),
            Cure("opset", ("TG118", "TG132"), "the opset suits the target"),
            Cure("ir_version", ("TG117",), "the IR version suits the target"),
        )
    }
)


def cures_for(code: str) -> Iterator[Cure]:
    """What may cure a finding, in the order in which it is tried."""
    return (cure for cure in CURES.values() if code in cure.codes)
