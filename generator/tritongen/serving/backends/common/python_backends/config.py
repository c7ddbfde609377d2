"""The parts of a ModelConfig that every backend reads, from the JSON that Triton hands over."""

import re
from collections.abc import Mapping
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
    """One input or output of a configuration; `dims` are what the model sees, without batch."""

    name: str
    dtype: str
    dims: tuple[int, ...]


def tensors(config: Json, key: str) -> tuple[ConfigTensor, ...]:
    """Inputs or outputs; the shape of a reshape stands for the dims where there is one."""
    return tuple(_tensor(item) for item in config.get(key, ()))


def states(config: Json) -> tuple[tuple[ConfigTensor, ConfigTensor], ...]:
    """(What is taken, what is given) of every state of the sequence batcher."""
    found = []
    for item in config.get("sequence_batching", {}).get("state", ()):
        dims = tuple(int(dim) for dim in item.get("dims", ()))
        pair = (
            ConfigTensor(item[key], item["data_type"], dims)
            for key in ("input_name", "output_name")
        )
        found.append(tuple(pair))
    return tuple((taken, given) for taken, given in found)


def controls(config: Json) -> tuple[str, ...]:
    """Inputs that the sequence batcher feeds."""
    return tuple(
        item["name"] for item in config.get("sequence_batching", {}).get("control_input", ())
    )


def _tensor(item: Json) -> ConfigTensor:
    shape = item["reshape"].get("shape", ()) if "reshape" in item else item["dims"]
    return ConfigTensor(item["name"], item["data_type"], tuple(int(dim) for dim in shape))


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
