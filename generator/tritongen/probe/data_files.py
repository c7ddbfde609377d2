"""Real tensors for requests: `.npz`, `.npy`, and JSON in perf_analyzer's form. Never a pickle."""

import base64
import binascii
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritongen.errors import InvalidInputError, describe_error
from tritongen.model.samples import Array, numpy_dtype
from tritongen.model.tensors import DType
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.tensor_bytes import cast, encode

# Of a data file, which is read into memory as a whole. Chosen.
_MAX_BYTES = 4 * 1024**3
_FIX = (
    "Give .npz or .npy with the inputs' names, or JSON such as "
    '{"data": [{"INPUT": {"content": [1, 2], "shape": [2]}}]}.'
)


@dataclass(frozen=True, slots=True)
class DataSet:
    """Requests read from a file.

    Attributes:
        inputs: arrays with their full shape by input name, one mapping a request; inputs that
            the file does not hold are missing.
        expected: output values as they travel, one mapping a request, or empty.
    """

    inputs: tuple[Mapping[str, Array], ...]
    expected: tuple[Mapping[str, bytes], ...]

    def expected_of(self, index: int) -> Mapping[str, bytes]:
        """The expected outputs of a request, empty when the file has none."""
        return self.expected[index] if index < len(self.expected) else {}


def read_data(path: Path, meta: ModelMeta, batches: bool, batch: int) -> DataSet:
    """Requests from a file.

    Args:
        path: of the file.
        meta: the model's metadata.
        batches: whether axis 0 of every tensor is a batch axis.
        batch: rows of each request.

    Raises:
        InvalidInputError: TG002 or TG906, with what is wrong and where.
    """
    if not path.is_file():
        what = "is no file" if path.exists() else "there is no such file"
        raise InvalidInputError("TG002", what, where=str(path))
    if path.stat().st_size > _MAX_BYTES:
        raise InvalidInputError("TG906", "the file is larger than 4 GiB", where=str(path))
    if path.suffix == ".json":
        return _read_json(path, meta, batches, batch)
    if path.suffix in {".npz", ".npy"}:
        arrays = _read_numpy(path, meta)
        inputs = _requests(path, arrays, meta.inputs, batches, batch)
        outputs = _requests(path, arrays, meta.outputs, batches, batch)
        if not inputs:
            names = ", ".join(tensor.name for tensor in meta.inputs)
            raise _fault(path, f"it holds none of the inputs {names}")
        return DataSet(inputs, _encoded(outputs, meta.outputs) if outputs else ())
    raise _fault(path, f"files of type {path.suffix or 'unknown'} cannot be read")


def _fault(path: Path, what: str) -> InvalidInputError:
    return InvalidInputError("TG906", what, where=str(path), fix=_FIX)


def _read_numpy(path: Path, meta: ModelMeta) -> dict[str, Array]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            if len(meta.inputs) != 1:
                raise _fault(path, f"{meta.name} has {len(meta.inputs)} inputs; use .npz")
            return {meta.inputs[0].name: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as fault:
        raise _fault(path, f"it cannot be read: {describe_error(fault)[:200]}") from None


def _requests(
    path: Path,
    arrays: Mapping[str, Array],
    tensors: Sequence[TensorMeta],
    batches: bool,
    batch: int,
) -> tuple[Mapping[str, Array], ...]:
    """Divide arrays into requests: rows by batch, or one along an extra first axis."""
    found: dict[str, list[Array]] = {}
    for tensor in tensors:
        if tensor.name in arrays:
            array = _typed(path, arrays[tensor.name], tensor)
            found[tensor.name] = _divide(path, array, tensor, batches, batch)
    if not found:
        return ()
    counts = {len(pieces) for pieces in found.values()}
    if len(counts) != 1:
        raise _fault(path, "the arrays hold different numbers of requests")
    return tuple(
        {name: pieces[index] for name, pieces in found.items()} for index in range(counts.pop())
    )


def _typed(path: Path, array: Array, tensor: TensorMeta) -> Array:
    result = cast(array, DType(tensor.datatype))
    if result is None:
        raise _fault(path, f"{tensor.name} is {array.dtype}, the model wants {tensor.datatype}")
    return result


def _divide(path: Path, array: Array, tensor: TensorMeta, batches: bool, batch: int) -> list[Array]:
    served = tensor.shape[1:] if batches else tensor.shape
    if batches:
        if array.ndim == len(served):
            array = array[np.newaxis]
        _check(path, array.shape[1:], served, tensor.name)
        count = len(array) // batch
        if not count:
            raise _fault(path, f"{tensor.name} has {len(array)} rows, --batch wants {batch}")
        return [array[index * batch : (index + 1) * batch] for index in range(count)]
    if array.ndim == len(served) + 1:
        _check(path, array.shape[1:], served, tensor.name)
        return list(array)
    _check(path, array.shape, served, tensor.name)
    return [array]


def _check(path: Path, found: tuple[int, ...], served: tuple[int, ...], place: str) -> None:
    fits = len(found) == len(served) and all(
        want in {-1, size} for want, size in zip(served, found, strict=True)
    )
    if not fits:
        raise _fault(path, f"{place} has shape {list(found)}, the model wants {list(served)}")


def _encoded(
    rows: Sequence[Mapping[str, Array]], tensors: Sequence[TensorMeta]
) -> tuple[Mapping[str, bytes], ...]:
    types = {tensor.name: DType(tensor.datatype) for tensor in tensors}
    return tuple({name: encode(array, types[name]) for name, array in row.items()} for row in rows)


def _read_json(path: Path, meta: ModelMeta, batches: bool, batch: int) -> DataSet:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        data = content["data"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as fault:
        raise _fault(path, f'it is not JSON with a list "data" ({type(fault).__name__})') from None
    inputs = _json_rows(path, data, meta.inputs, batches, batch, "data")
    if not inputs:
        raise _fault(path, '"data" holds no requests')
    expected = content.get("validation_data") or []
    outputs = _json_rows(path, expected, meta.outputs, batches, batch, "validation_data")
    return DataSet(inputs, _encoded(outputs, meta.outputs))


def _json_rows(
    path: Path,
    entries: Any,  # noqa: ANN401  (content of a file, checked here)
    tensors: Sequence[TensorMeta],
    batches: bool,
    batch: int,
    key: str,
) -> tuple[Mapping[str, Array], ...]:
    if not isinstance(entries, list):
        raise _fault(path, f'"{key}" is not a list')
    # A list in the list is the steps of a sequence, in order.
    flat = [step for entry in entries for step in (entry if isinstance(entry, list) else [entry])]
    by_name = {tensor.name: tensor for tensor in tensors}
    rows = []
    for number, entry in enumerate(flat):
        if not isinstance(entry, dict):
            raise _fault(path, f"{key}[{number}] is not an object")
        rows.append(
            {
                name: _json_tensor(path, f"{key}[{number}].{name}", value, by_name[name], batches)
                for name, value in entry.items()
                if name in by_name
            }
        )
    if not batches or batch == 1:
        return tuple(rows)
    groups = [rows[i : i + batch] for i in range(0, len(rows) - batch + 1, batch)]
    return tuple(
        {name: np.concatenate([row[name] for row in group]) for name in group[0]}
        for group in groups
    )


def _json_tensor(
    path: Path,
    place: str,
    value: Any,  # noqa: ANN401  (content of a file, checked here)
    tensor: TensorMeta,
    batches: bool,
) -> Array:
    """One tensor of one row: a list, an object with content and shape, or base64."""
    served = tensor.shape[1:] if batches else tensor.shape
    dtype = DType(tensor.datatype)
    shape = None
    if isinstance(value, dict):
        shape = value.get("shape")
        if "b64" in value:
            array = _from_base64(path, place, value["b64"], dtype)
        else:
            array = _from_list(path, place, value.get("content"), dtype)
    else:
        array = _from_list(path, place, value, dtype)
    wanted = tuple(int(dim) for dim in shape) if isinstance(shape, list) else None
    if wanted is None:
        wanted = array.shape if array.ndim == len(served) else _filled_in(served, array.size)
    try:
        array = array.reshape(wanted)
    except ValueError:
        raise _fault(path, f"{place} has {array.size} values, not {list(wanted)}") from None
    _check(path, array.shape, served, place)
    return array[np.newaxis] if batches else array


def _filled_in(served: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The model's shape, its only dynamic axis sized to fit."""
    known = 1
    for dim in served:
        known *= max(dim, 1)
    return tuple(dim if dim > 0 else max(size // known, 1) for dim in served)


def _from_base64(path: Path, place: str, text: object, dtype: DType) -> Array:
    try:
        raw = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise _fault(path, f"{place} is not base64") from None
    if dtype is DType.BYTES:
        return np.array([raw], dtype=object)
    if len(raw) % dtype.itemsize:
        raise _fault(path, f"{place} has {len(raw)} bytes, not a multiple of {dtype.itemsize}")
    return np.frombuffer(raw, dtype=numpy_dtype(dtype))


def _from_list(path: Path, place: str, value: object, dtype: DType) -> Array:
    if value is None:
        raise _fault(path, f"{place} has neither content nor b64")
    try:
        array = np.array(value, dtype=object if dtype is DType.BYTES else None)
    except (ValueError, OverflowError):
        raise _fault(path, f"{place} is ragged") from None
    result = cast(array, dtype)
    if result is None:
        raise _fault(path, f"{place} does not fit the type {dtype}")
    return result
