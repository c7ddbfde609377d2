"""Fills in what a configuration leaves out, by the C++ backend's rule."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from python_backends.config import Json, RefusedError

from .signature import ModelSignature, ModelTensor

_DEFAULT_MAX_BATCH_SIZE = 4
_KEY = "default-max-batch-size="


def is_complete(config: Json) -> bool:
    """Whether nothing is filled in: one input and one output suffice for that."""
    inputs = len(config.get("input", ())) + len(config.get("batch_input", ()))
    return inputs > 0 and len(config.get("output", ())) > 0


def default_max_batch_size(server: int) -> int:
    """What the server was told by ``--backend-config``, 4 when nothing.

    A backend in C++ is handed that option. A Python-based one is not, so that the server's own
    command line is read; a value for this backend goes before a general one.

    Args:
        server: process id of the server.
    """
    try:
        line = Path("/proc", str(server), "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return _DEFAULT_MAX_BATCH_SIZE
    values = {}
    words = line.split("\0")
    for position, word in enumerate(words):
        if word == "--backend-config":
            setting = words[position + 1] if position + 1 < len(words) else ""
        elif word.startswith("--backend-config="):
            setting = word.partition("=")[2]
        else:
            continue
        backend, _, option = setting.rpartition(",")
        if option.startswith(_KEY) and option[len(_KEY) :].isdigit():
            values[backend] = int(option[len(_KEY) :])
    return values.get("onnxruntime", values.get("", _DEFAULT_MAX_BATCH_SIZE))


def _batches(tensors: Iterable[ModelTensor]) -> bool:
    return all(tensor.shape and tensor.shape[0] == -1 for tensor in tensors)


def complete(config: dict[str, Any], model: ModelSignature, default_batch: int) -> None:
    """Fills max_batch_size, dynamic_batching, inputs and outputs in place.

    Raises:
        RefusedError: max_batch_size is given for a model that does not batch.
    """
    if _batches((*model.inputs.values(), *model.outputs.values())):
        if config["max_batch_size"] == 0:
            config["max_batch_size"] = max(default_batch, 0)
        schedulers = ("sequence_batching", "dynamic_batching")
        if config["max_batch_size"] > 1 and not any(key in config for key in schedulers):
            config["dynamic_batching"] = {}
    elif config["max_batch_size"] != 0:
        raise RefusedError(
            f"autofill failed for model '{config['name']}': model does not support batching while "
            "non-zero max_batch_size is specified"
        )
    batching = config["max_batch_size"] > 0
    if not config["input"] and not config.get("batch_input"):
        config["input"] = [_entry(tensor, batching) for tensor in model.inputs.values()]
    if not config["output"]:
        config["output"] = [_entry(tensor, batching) for tensor in model.outputs.values()]


def _entry(tensor: ModelTensor, batching: bool) -> dict[str, Any]:
    dims = list(tensor.shape[1:] if batching else tensor.shape)
    entry: dict[str, Any] = {"name": tensor.name, "data_type": tensor.dtype, "dims": dims or [1]}
    if not dims and batching:
        entry["reshape"] = {"shape": []}
    return entry
