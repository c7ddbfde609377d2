"""Real tensors for requests: `.npz`, `.npy`, and JSON in perf_analyzer's form. Never a pickle."""

import base64
import json
import math
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
    file = _DataFile(path, meta, batches, batch)
    if path.suffix == ".json":
        return file.from_json()
    if path.suffix in {".npz", ".npy"}:
        return file.from_numpy()
    raise file.fault(f"files of type {path.suffix or 'unknown'} cannot be read")


@dataclass(frozen=True, slots=True)
class _DataFile:
    """A file that is read for one model; see `read_data` for the attributes."""

    path: Path
    meta: ModelMeta
    batches: bool
    batch: int

    def fault(self, what: str) -> InvalidInputError:
        return InvalidInputError("TG906", what, where=str(self.path), fix=_FIX)

    def from_numpy(self) -> DataSet:
        arrays = self._arrays()
        inputs = self._requests(arrays, self.meta.inputs)
        if not inputs:
            names = ", ".join(tensor.name for tensor in self.meta.inputs)
            raise self.fault(f"it holds none of the inputs {names}")
        return DataSet(inputs, self._encoded(self._requests(arrays, self.meta.outputs)))

    def _arrays(self) -> dict[str, Array]:
        try:
            loaded = np.load(self.path, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                count = len(self.meta.inputs)
                if count != 1:
                    raise self.fault(f"{self.meta.name} has {count} inputs; use .npz")
                return {self.meta.inputs[0].name: loaded}
            with loaded:
                return {name: loaded[name] for name in loaded.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as fault:
            raise self.fault(f"it cannot be read: {describe_error(fault)[:200]}") from None

    def _requests(
        self, arrays: Mapping[str, Array], tensors: Sequence[TensorMeta]
    ) -> tuple[Mapping[str, Array], ...]:
        """Divide arrays into requests: rows by batch, or one along an extra first axis."""
        found = {
            tensor.name: self._divide(arrays[tensor.name], tensor)
            for tensor in tensors
            if tensor.name in arrays
        }
        counts = {len(pieces) for pieces in found.values()}
        if len(counts) > 1:
            raise self.fault("the arrays hold different numbers of requests")
        return tuple(
            {name: pieces[index] for name, pieces in found.items()}
            for index in range(max(counts, default=0))
        )

    def _divide(self, given: Array, tensor: TensorMeta) -> list[Array]:
        array = cast(given, DType(tensor.datatype))
        if array is None:
            raise self.fault(f"{tensor.name} is {given.dtype}, the model wants {tensor.datatype}")
        served, batch = self._served(tensor), self.batch
        if self.batches:
            if array.ndim == len(served):
                array = array[np.newaxis]
            self._check(array.shape[1:], served, tensor.name)
            count = len(array) // batch
            if not count:
                raise self.fault(f"{tensor.name} has {len(array)} rows, --batch wants {batch}")
            return [array[index * batch : (index + 1) * batch] for index in range(count)]
        if array.ndim == len(served) + 1:
            self._check(array.shape[1:], served, tensor.name)
            return list(array)
        self._check(array.shape, served, tensor.name)
        return [array]

    def _served(self, tensor: TensorMeta) -> tuple[int, ...]:
        """The shape of one row."""
        return tensor.shape[1:] if self.batches else tensor.shape

    def _check(self, found: tuple[int, ...], served: tuple[int, ...], place: str) -> None:
        fits = len(found) == len(served) and all(
            want in {-1, size} for want, size in zip(served, found, strict=True)
        )
        if not fits:
            raise self.fault(f"{place} has shape {list(found)}, the model wants {list(served)}")

    def _encoded(self, rows: Sequence[Mapping[str, Array]]) -> tuple[Mapping[str, bytes], ...]:
        types = {tensor.name: tensor.datatype for tensor in self.meta.outputs}
        return tuple(
            {name: encode(array, DType(types[name])) for name, array in row.items()} for row in rows
        )

    def from_json(self) -> DataSet:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            data = content["data"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as fault:
            what = f'it is not JSON with a list "data" ({type(fault).__name__})'
            raise self.fault(what) from None
        inputs = self._json_rows(data, self.meta.inputs, "data")
        if not inputs:
            raise self.fault('"data" holds no requests')
        expected = content.get("validation_data") or []
        outputs = self._json_rows(expected, self.meta.outputs, "validation_data")
        return DataSet(inputs, self._encoded(outputs))

    def _json_rows(
        self,
        entries: Any,  # noqa: ANN401  (content of a file, checked here)
        tensors: Sequence[TensorMeta],
        key: str,
    ) -> tuple[Mapping[str, Array], ...]:
        if not isinstance(entries, list):
            raise self.fault(f'"{key}" is not a list')
        # A list in the list is the steps of a sequence, in order.
        flat = [step for item in entries for step in (item if isinstance(item, list) else [item])]
        by_name = {tensor.name: tensor for tensor in tensors}
        rows = []
        for number, entry in enumerate(flat):
            place = f"{key}[{number}]"
            if not isinstance(entry, dict):
                raise self.fault(f"{place} is not an object")
            known = {name: value for name, value in entry.items() if name in by_name}
            rows.append(
                {
                    name: self._json_tensor(f"{place}.{name}", value, by_name[name])
                    for name, value in known.items()
                }
            )
        size = self.batch if self.batches else 1
        if size == 1:
            return tuple(rows)
        groups = [rows[i : i + size] for i in range(0, len(rows) - size + 1, size)]
        return tuple(
            {name: np.concatenate([row[name] for row in group]) for name in group[0]}
            for group in groups
        )

    def _json_tensor(
        self,
        place: str,
        value: Any,  # noqa: ANN401  (content of a file, checked here)
        tensor: TensorMeta,
    ) -> Array:
        """One tensor of one row: a list, an object with content and shape, or base64."""
        served, dtype = self._served(tensor), DType(tensor.datatype)
        given = value if isinstance(value, dict) else {"content": value}
        if "b64" in given:
            array = self._from_base64(place, given["b64"], dtype)
        else:
            array = self._from_list(place, given.get("content"), dtype)
        shape = given.get("shape")
        if isinstance(shape, list):
            wanted = tuple(int(dim) for dim in shape)
        else:
            wanted = array.shape if array.ndim == len(served) else _filled_in(served, array.size)
        try:
            array = array.reshape(wanted)
        except ValueError:
            raise self.fault(f"{place} has {array.size} values, not {list(wanted)}") from None
        self._check(array.shape, served, place)
        return array[np.newaxis] if self.batches else array

    def _from_base64(self, place: str, text: object, dtype: DType) -> Array:
        try:
            raw = base64.b64decode(str(text), validate=True)
        except ValueError:  # binascii's error is one
            raise self.fault(f"{place} is not base64") from None
        if dtype is DType.BYTES:
            return np.array([raw], dtype=object)
        if len(raw) % dtype.itemsize:
            raise self.fault(f"{place} has {len(raw)} bytes, not a multiple of {dtype.itemsize}")
        return np.frombuffer(raw, dtype=numpy_dtype(dtype))

    def _from_list(self, place: str, value: object, dtype: DType) -> Array:
        if value is None:
            raise self.fault(f"{place} has neither content nor b64")
        try:
            array = np.array(value, dtype=object if dtype is DType.BYTES else None)
        except (ValueError, OverflowError):
            raise self.fault(f"{place} is ragged") from None
        result = cast(array, dtype)
        if result is None:
            raise self.fault(f"{place} does not fit the type {dtype}")
        return result


def _filled_in(served: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The model's shape, its only dynamic axis sized to fit."""
    known = math.prod(max(dim, 1) for dim in served)
    return tuple(dim if dim > 0 else max(size // known, 1) for dim in served)
