"""The parts of a ModelConfig that every backend reads, from the JSON that Triton hands over."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]

_INTEGER = re.compile(r"\s*([+-]?\d+)")
_INT32 = range(-(2**31), 2**31)
_TRUE = ("true", "on", "1")
_FALSE = ("false", "off", "0")


class RefusedError(Exception):
    """The model, its configuration or a request cannot be served; the message says why."""


def parse_bool(text: str) -> bool:
    """Triton's spelling of booleans, in any case: true, on, 1, false, off, 0.

    Raises:
        RefusedError: any other text, "yes" and "no" too.
    """
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise RefusedError(f"failed to convert '{text}' to boolean")


def parse_int(text: str) -> int:
    """The leading integer, as C++'s stoi reads it: ``4abc`` is 4.

    Raises:
        RefusedError: no leading integer, or one beyond 32 bits.
    """
    match = _INTEGER.match(text)
    if match is None or int(match[1]) not in _INT32:
        raise RefusedError(f"failed to convert '{text}' to integral number")
    return int(match[1])


def parameters(config: Json) -> dict[str, str]:
    """The top-level parameters as key → text."""
    return {
        key: str(value.get("string_value", ""))
        for key, value in config.get("parameters", {}).items()
    }


@dataclass(frozen=True, slots=True)
class ConfigTensor:
    """An input or output as the configuration declares it.

    Attributes:
        name: of the tensor.
        dtype: ``TYPE_…``.
        dims: what the model sees: the reshape when there is one; without the batch axis.
        optional: the request may leave it out.
        ragged: requests of different shapes are joined to one flat tensor.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    optional: bool = False
    ragged: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """A state of the sequence batcher; `dims` are without the batch axis."""

    input: str
    output: str
    dtype: str
    dims: tuple[int, ...]

    @property
    def taken(self) -> ConfigTensor:
        """The input that takes the state."""
        return ConfigTensor(self.input, self.dtype, self.dims)

    @property
    def given(self) -> ConfigTensor:
        """The output that gives the next one."""
        return ConfigTensor(self.output, self.dtype, self.dims)


def tensors(config: Json, key: str) -> tuple[ConfigTensor, ...]:
    """The tensors under ``input`` or ``output``."""
    return tuple(_tensor(item) for item in config.get(key, ()))


def states(config: Json) -> tuple[State, ...]:
    """Every state of the sequence batcher."""
    return tuple(
        State(
            item.get("input_name", ""),
            item.get("output_name", ""),
            item.get("data_type", "TYPE_INVALID"),
            tuple(int(dim) for dim in item.get("dims", ())),
        )
        for item in config.get("sequence_batching", {}).get("state", ())
    )


def controls(config: Json) -> tuple[str, ...]:
    """Inputs that the sequence batcher feeds."""
    return tuple(
        item["name"] for item in config.get("sequence_batching", {}).get("control_input", ())
    )


def _tensor(item: Json) -> ConfigTensor:
    shape = item["reshape"].get("shape", ()) if "reshape" in item else item["dims"]
    return ConfigTensor(
        name=item["name"],
        dtype=item["data_type"],
        dims=tuple(int(dim) for dim in shape),
        optional=bool(item.get("optional", False)),
        ragged=bool(item.get("allow_ragged_batch", False)),
    )


def shape_text(shape: Sequence[int]) -> str:
    """A shape as Triton prints it: ``[-1,3]``."""
    return "[" + ",".join(str(dim) for dim in shape) + "]"


def unexpected(kind: str, name: str, names: Iterable[str]) -> RefusedError:
    """What the C++ backends say of a tensor that the model does not have.

    Args:
        kind: ``input`` or ``output``.
        name: of the tensor.
        names: of those that it has.
    """
    known = ", ".join(sorted(names))
    return RefusedError(f"unexpected inference {kind} '{name}', allowed {kind}s are: {known}")


def instance_count(config: Json) -> int:
    """CPU instances of the model; each is a process of its own here."""
    groups = config.get("instance_group", ())
    return max(1, sum(int(group.get("count", 1)) for group in groups))


def model_path(args: Mapping[str, str], filename: str) -> Path:
    """The model's file in the version folder.

    Args:
        args: of `initialize`.
        filename: relative to the version folder.

    Raises:
        RefusedError: it does not exist.
    """
    path = Path(args["model_repository"], args["model_version"], filename)
    if not path.exists():
        raise RefusedError(f"unable to find '{path}' for model '{args['model_name']}'")
    return path
