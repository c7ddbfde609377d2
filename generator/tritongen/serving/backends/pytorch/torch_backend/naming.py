"""Which argument an input is, and which result an output: the backend's naming convention."""

from collections.abc import Sequence

from python_backends.config import ConfigTensor, RefusedError

_TYPES = frozenset(
    f"TYPE_{name}"
    for name in ("BOOL", "UINT8", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")
)
_STRING = "TYPE_STRING"


def index_of(name: str) -> int | None:
    """The number behind the first ``__``, None for a name of another form."""
    _, separator, digits = name.partition("__")
    if not separator or (digits and not digits.isdecimal()):
        return None
    return int(digits or "0")


def positions(names: Sequence[str], arguments: Sequence[str]) -> dict[str, int]:
    """Position of each name: by argument, else by number, else in the configuration's order.

    Args:
        names: in the configuration's order.
        arguments: of `forward`; none for outputs.
    """
    if arguments and all(name in arguments for name in names):
        return {name: arguments.index(name) for name in names}
    numbers = [index_of(name) for name in names]
    if all(number is not None for number in numbers):
        return {name: number or 0 for name, number in zip(names, numbers, strict=True)}
    return {name: place for place, name in enumerate(names)}


def check(kind: str, model: str, items: Sequence[ConfigTensor], *, batching: bool) -> None:
    """Types that TorchScript takes, and lists of texts of one axis.

    Raises:
        RefusedError: in the C++ backend's words.
    """
    if not items:
        raise RefusedError(
            f"model configuration must contain at least one {kind}, none were specified."
        )
    for item in items:
        if item.dtype not in _TYPES and item.dtype != _STRING:
            raise RefusedError(
                f"unsupported datatype {item.dtype} for {kind} '{item.name}' for model '{model}'"
            )
        if item.dtype == _STRING and len(item.dims) + batching > 1:
            raise RefusedError(
                f"Triton only supports 1 dimensional List of String as {kind} for '{item.name}' "
                f"for model '{model}'"
            )
