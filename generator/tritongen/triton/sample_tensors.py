"""Real tensors in a user's files: one request a row. Never a pickle.

Files are `.npz`, `.npy`, JSON in perf_analyzer's form, or one file for each element of a BYTES
input.
"""

import base64
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tritongen.errors import InvalidInputError, describe_error
from tritongen.model.samples import Array, numpy_dtype
from tritongen.model.tensors import DType
from tritongen.system.sample_files import MAX_BYTES, SampleFile, SampleFiles
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.tensor_bytes import cast, dtype_of


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; outputs that it must give may be empty, inputs that it lacks are missing."""

    place: str
    inputs: Mapping[str, Array]
    expected: Mapping[str, Array]


def read_samples(given: SampleFiles, meta: ModelMeta, batches: bool) -> tuple[Sample, ...]:
    """Requests of one row from files, with their full shapes.

    Args:
        given: the files.
        meta: the model's metadata; a tensor without a type may have any, and any shape.
        batches: whether axis 0 of every tensor is a batch axis.

    Raises:
        InvalidInputError: TG906, with what is wrong and where.
    """
    samples: list[Sample] = []
    columns: dict[str, list[tuple[str, Array]]] = {}
    for file in given.files:
        reader = _Reader(file, meta, batches)
        if file.tensor or file.path.endswith(".npy"):
            tensor = reader.own_tensor()
            columns.setdefault(tensor.name, []).extend(reader.elements(tensor))
        elif file.path.endswith(".json"):
            samples += reader.from_json()
        elif file.path.endswith(".npz"):
            arrays = reader.arrays()
            found = {
                tensor.name: reader.divided(arrays[tensor.name], tensor)
                for tensor in (*meta.inputs, *meta.outputs)
                if tensor.name in arrays
            }
            samples += reader.zipped(found)
        else:
            raise file.fault(f"files of type {Path(file.path).suffix or 'unknown'} cannot be read")
    if columns:
        samples += _Reader(given.files[0], meta, batches).zipped(columns)
    return tuple(samples)


def read_rows(given: SampleFiles, meta: ModelMeta, batches: bool) -> tuple[Sample, ...]:
    """Likewise; rows, too, where every input's axis 0 is open, unless they are whole tensors."""
    rows = batches or all(tensor.shape[:1] in {(-1,), ()} for tensor in meta.inputs)
    try:
        return read_samples(given, meta, rows)
    except InvalidInputError:
        if not batches and rows:
            with suppress(InvalidInputError):
                return read_samples(given, meta, batches=False)
        raise


def by_sizes(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Those whose inputs have the same shapes together, the most of them first."""
    groups: dict[object, list[Sample]] = {}
    for sample in samples:
        shapes = tuple((name, array.shape) for name, array in sorted(sample.inputs.items()))
        groups.setdefault(shapes, []).append(sample)
    return sorted(groups.values(), key=len, reverse=True)


def joined(samples: Sequence[Sample], rows: int) -> tuple[Sample, ...]:
    """Requests of so many rows of one size each; too few of them are repeated in one request."""
    if rows <= 1:
        return tuple(samples)
    groups = by_sizes(samples)
    parts = [
        group[index : index + rows]
        for group in groups
        for index in range(0, len(group) - rows + 1, rows)
    ] or [[groups[0][index % len(groups[0])] for index in range(rows)]]
    return tuple(
        Sample(
            part[0].place,
            _joined([one.inputs for one in part]),
            _joined([one.expected for one in part]),
        )
        for part in parts
    )


def _joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The arrays that all of them hold, along axis 0."""
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one file for one model; see `read_samples` for the attributes."""

    file: SampleFile
    meta: ModelMeta
    batches: bool

    def own_tensor(self) -> TensorMeta:
        """The tensor whose elements are all that the file holds."""
        known = {tensor.name: tensor for tensor in (*self.meta.inputs, *self.meta.outputs)}
        name, stem = self.file.tensor, Path(self.file.path).stem
        if not name:
            only = self.meta.inputs[0].name if len(self.meta.inputs) == 1 else ""
            name = stem if stem in known else only
        if name not in known:
            what = f"{self.meta.name} has no tensor {name or stem!r}; it has {', '.join(known)}"
            raise self.file.fault(what)
        return known[name]

    def elements(self, tensor: TensorMeta) -> list[tuple[str, Array]]:
        """An array's rows, or the file itself as one element of a BYTES tensor."""
        if self.file.path.endswith(".npy"):
            array = self.arrays().get("")
            if array is None:
                raise self.file.fault("it holds several arrays; name it .npz")
            return self.divided(array, tensor)
        if tensor.datatype != DType.BYTES:
            what = f"{tensor.name} is {tensor.datatype}; only of BYTES a file is one element"
            raise self.file.fault(what)
        element = np.array([self.file.content], dtype=object)
        return [(self.file.path, self._shaped(element, None, tensor, self.file.path))]

    def arrays(self) -> dict[str, Array]:
        """The arrays of a numpy file by name."""
        try:
            loaded = np.load(io.BytesIO(self.file.content), allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"": loaded}
            with loaded:
                if sum(item.file_size for item in loaded.zip.infolist()) > MAX_BYTES:
                    raise self.file.fault("its arrays are larger than 4 GiB")
                return {name: loaded[name] for name in loaded.files}
        except (
            OSError, ValueError, EOFError, KeyError, AttributeError, MemoryError,
            zipfile.BadZipFile,
        ) as fault:  # fmt: skip
            raise self.file.fault(f"it cannot be read: {describe_error(fault)[:200]}") from None

    def zipped(self, columns: Mapping[str, Sequence[tuple[str, Array]]]) -> list[Sample]:
        """Samples of the tensors' elements, which belong together in their order."""
        inputs = [tensor.name for tensor in self.meta.inputs if tensor.name in columns]
        if not inputs:
            names = ", ".join(tensor.name for tensor in self.meta.inputs)
            raise self.file.fault(f"it holds none of the inputs {names}")
        if len({len(column) for column in columns.values()}) > 1:
            counts = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
            raise self.file.fault(f"the arrays hold different numbers of requests: {counts}")
        return [
            Sample(
                columns[inputs[0]][index][0],
                {name: columns[name][index][1] for name in inputs},
                {name: items[index][1] for name, items in columns.items() if name not in inputs},
            )
            for index in range(len(columns[inputs[0]]))
        ]

    def divided(self, given: Array, tensor: TensorMeta) -> list[tuple[str, Array]]:
        """An array's requests: its rows, or what stands along an extra first axis."""
        array = self._typed(given, tensor)
        served = self._served(tensor)
        if self.batches and served in {(), (1,)} and array.shape[1:] in {(), (1,)}:
            array = array.reshape(-1, *served)  # Triton writes a row that is the axis alone as [1]
        if self.batches or not tensor.datatype:
            if tensor.datatype and array.ndim == len(served):
                array = array[np.newaxis]
            array = np.atleast_1d(array)
            parts = [array[index : index + 1] for index in range(len(array))]
        elif array.ndim == len(served) + 1:
            parts = list(array)
        elif served[:1] == (1,) and array.ndim == len(served):
            parts = [array[index : index + 1] for index in range(len(array))]
        else:
            parts = [array]
        if not parts or not array.size:
            raise self.file.fault(f"{tensor.name} has shape {list(array.shape)} and holds nothing")
        self._check(parts[0].shape[1:] if self.batches else parts[0].shape, tensor, tensor.name)
        return [(f"{self.file.path}, row {row}", part) for row, part in enumerate(parts, 1)]

    def _typed(self, given: Array, tensor: TensorMeta) -> Array:
        dtype = DType(tensor.datatype) if tensor.datatype else dtype_of(given)
        array = cast(given, dtype) if dtype is not None else None
        if array is None:
            wanted = tensor.datatype or "a type of Triton's"
            raise self.file.fault(f"{tensor.name} is {given.dtype}, the model wants {wanted}")
        return array

    def _served(self, tensor: TensorMeta) -> tuple[int, ...]:
        """The shape of one row."""
        return tensor.shape[1:] if self.batches else tensor.shape

    def _check(self, found: tuple[int, ...], tensor: TensorMeta, place: str) -> None:
        served = self._served(tensor)
        fits = len(found) == len(served) and all(
            want in {-1, size} for want, size in zip(served, found, strict=True)
        )
        if not fits and tensor.datatype:
            what = f"{place} has shape {list(found)}, the model wants {list(served)}"
            raise self.file.fault(what)

    def from_json(self) -> list[Sample]:
        """The requests of a file in perf_analyzer's form."""
        try:
            content = json.loads(self.file.content.decode())
            data = content["data"]
        except (ValueError, KeyError, TypeError, RecursionError) as fault:
            what = f'it is not JSON with a list "data" ({type(fault).__name__})'
            raise self.file.fault(what) from None
        inputs = self._json_rows(data, self.meta.inputs, "data")
        if not inputs:
            raise self.file.fault('"data" holds no requests')
        given = content.get("validation_data") or []
        outputs = self._json_rows(given, self.meta.outputs, "validation_data")
        expected = [*outputs, *({} for _ in inputs[len(outputs) :])]
        return [
            Sample(f"{self.file.path}, data[{index}]", one, expected[index])
            for index, one in enumerate(inputs)
        ]

    def _json_rows(
        self,
        entries: Any,  # noqa: ANN401  (content of a file, checked here)
        tensors: Sequence[TensorMeta],
        key: str,
    ) -> list[dict[str, Array]]:
        if not isinstance(entries, list):
            raise self.file.fault(f'"{key}" is not a list')
        # A list in the list is the steps of a sequence, in order.
        flat = [step for item in entries for step in (item if isinstance(item, list) else [item])]
        by_name = {tensor.name: tensor for tensor in tensors}
        rows = []
        for number, entry in enumerate(flat):
            place = f"{key}[{number}]"
            if not isinstance(entry, dict):
                raise self.file.fault(f"{place} is not an object")
            known = {name: value for name, value in entry.items() if name in by_name}
            rows.append(
                {
                    name: self._json_tensor(f"{place}.{name}", value, by_name[name])
                    for name, value in known.items()
                }
            )
        return rows

    def _json_tensor(
        self,
        place: str,
        value: Any,  # noqa: ANN401  (content of a file, checked here)
        tensor: TensorMeta,
    ) -> Array:
        """One tensor of one row: a list, an object with content and shape, or base64."""
        given = value if isinstance(value, dict) else {"content": value}
        if "b64" in given:
            array = self._from_base64(place, given["b64"], tensor)
        else:
            array = self._from_list(place, given.get("content"), tensor)
        shape = given.get("shape")
        return self._shaped(array, shape if isinstance(shape, list) else None, tensor, place)

    def _shaped(
        self,
        array: Array,
        shape: Sequence[Any] | None,
        tensor: TensorMeta,
        place: str,
    ) -> Array:
        """One row's values in their shape: the stated one, or the one that the model leaves."""
        served = self._served(tensor)
        if not array.size:
            raise self.file.fault(f"{place} holds nothing")
        wanted: Sequence[Any] = array.shape
        if shape is not None:
            wanted = shape
        elif array.ndim != len(served) and tensor.datatype:
            wanted = _filled_in(served, array.size)
        try:
            array = array.reshape([int(dim) for dim in wanted])
        except (ValueError, TypeError, OverflowError):
            raise self.file.fault(f"{place} has {array.size} values, not {list(wanted)}") from None
        self._check(array.shape, tensor, place)
        return array[np.newaxis] if self.batches else array

    def _from_base64(self, place: str, text: object, tensor: TensorMeta) -> Array:
        dtype = DType(tensor.datatype or DType.BYTES)
        try:
            raw = base64.b64decode(str(text), validate=True)
        except ValueError:  # binascii's error is one
            raise self.file.fault(f"{place} is not base64") from None
        if dtype is DType.BYTES:
            return np.array([raw], dtype=object)
        if len(raw) % dtype.itemsize:
            what = f"{place} has {len(raw)} bytes, not a multiple of {dtype.itemsize}"
            raise self.file.fault(what)
        return np.frombuffer(raw, dtype=numpy_dtype(dtype))

    def _from_list(self, place: str, value: object, tensor: TensorMeta) -> Array:
        if value is None:
            raise self.file.fault(f"{place} has neither content nor b64")
        try:
            array = np.array(value, dtype=object if tensor.datatype == DType.BYTES else None)
        except (ValueError, OverflowError):
            raise self.file.fault(f"{place} is ragged") from None
        if not tensor.datatype and array.dtype == np.float64:
            array = array.astype(np.float32)  # JSON has numbers of one kind; models take these
        dtype = tensor.datatype or dtype_of(array)
        result = cast(array, DType(dtype)) if dtype else None
        if result is None:
            raise self.file.fault(f"{place} does not fit the type {dtype}")
        return result


def _filled_in(served: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The model's shape, its only dynamic axis sized to fit."""
    known = math.prod(max(dim, 1) for dim in served)
    return tuple(dim if dim > 0 else max(size // known, 1) for dim in served)
