"""Makes the wheel's Python stub work with numpy 2. Copied beside Triton's own Python module.

The stub was compiled with a pybind11 that knows numpy 1 only. It reads a dtype's item size from
where numpy 2 keeps flags, mostly a zero, with two effects that this module undoes:

- Input arrays get strides of zero, so that every element equals the first. The stub asks numpy for
  its table of C functions; it is given a copy of the table in which the function that makes arrays
  ignores strides. The stub only ever makes contiguous arrays.
- Output arrays count as zero bytes long. Numbers are handed over through DLPack, whose sizes are
  numpy's own. Strings have no such way: they are serialised into one item of a dtype made for the
  purpose, which shows the right size in the place that the stub reads, while it reads.

Triton's module of utilities imports this file at its end. With numpy 1 it does nothing.
"""

import ctypes
import struct
from typing import Any

import numpy as np

# Where numpy 1 has the item size and numpy 2 the flags of a dtype object.
_ITEM_SIZE_OFFSET = 32
# numpy's C API never renumbers its functions: the largest number pybind11 uses is 282.
_TABLE_LENGTH = 290
_NEW_FROM_DESCR = 94

# PyArray_NewFromDescr(type, dtype, ndim, shape, strides, data, flags, object) → array
_NewFromDescr = ctypes.PYFUNCTYPE(
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_void_p,
)

# The stub takes a capsule over under a name that numpy does not know as "taken".
_TAKEN = ctypes.create_string_buffer(b"used_dltensor")

Array = np.ndarray[Any, np.dtype[Any]]

# What the table holds must live as long as the process.
_kept: list[object] = []


def _stub_size(dtype: np.dtype[Any]) -> ctypes.c_uint32:
    """The 32 bits of a dtype object that the stub takes for the item size."""
    return ctypes.c_uint32.from_address(id(dtype) + _ITEM_SIZE_OFFSET)


def needed() -> bool:
    """Whether numpy's dtype objects have flags where the stub reads the item size."""
    telling = np.dtype([("field", np.uint8)], align=True)  # its flags are not its size
    return telling.flags != telling.itemsize and _stub_size(telling).value == telling.flags


def patched_table(capsule: object) -> object:
    """A copy of numpy's table of C functions whose array constructor ignores strides."""
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    new_capsule = ctypes.pythonapi.PyCapsule_New
    new_capsule.restype = ctypes.py_object
    new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

    address = get_pointer(capsule, None)
    table_type = ctypes.c_void_p * _TABLE_LENGTH
    table = table_type(*table_type.from_address(address))
    original = _NewFromDescr(table[_NEW_FROM_DESCR] or 0)

    def contiguous(
        kind: int,
        dtype: int,
        ndim: int,
        shape: int,
        _strides: int,
        data: int,
        flags: int,
        base: int,
    ) -> int | None:
        made: int | None = original(kind, dtype, ndim, shape, None, data, flags, base)
        return made

    callback = _NewFromDescr(contiguous)
    table[_NEW_FROM_DESCR] = ctypes.cast(callback, ctypes.c_void_p).value
    _kept.extend((table, callback))
    return new_capsule(ctypes.addressof(table), None, None)


class Serializer:
    """Stands for `serialize_byte_tensor`: one item whose size the stub reads right."""

    def __init__(self) -> None:
        self._dtype: np.dtype[Any] | None = None

    def __call__(self, array: Array) -> Array:
        """All elements, each behind its length in 4 bytes."""
        parts: list[bytes] = []
        for element in array.ravel(order="C").tolist():
            data = element if isinstance(element, bytes) else str(element).encode()
            parts += (struct.pack("<I", len(data)), data)
        joined = b"".join(parts)
        if not joined:
            return np.empty(0, np.uint8)
        item = np.frombuffer(joined, dtype=np.dtype((np.void, len(joined))))
        self._dtype = item.dtype  # made here, so that nobody else sees its flags change
        _stub_size(self._dtype).value = len(joined)
        return item

    def restore(self) -> None:
        """Gives the dtype its own flags back, before numpy looks at them again."""
        if self._dtype is not None:
            _stub_size(self._dtype).value = 0
            self._dtype = None


def without_elements(array: Array) -> Array:
    """An array of no elements with the strides that the stub calls contiguous; numpy's are zero."""
    step = array.itemsize
    strides = []
    for size in reversed(array.shape):
        strides.append(step)
        step *= size
    memory = np.zeros(1, array.dtype)
    return np.ndarray(array.shape, array.dtype, memory, strides=tuple(reversed(strides)))


def install(tensor: Any, utilities: Any) -> None:  # noqa: ANN401  (the stub's class and module)
    """Replaces the calls that read an array's size.

    Args:
        tensor: the stub's class `Tensor`.
        utilities: the module `triton_python_backend_utils`.
    """
    serializer = Serializer()
    empty_tensor, text_init = tensor.__new__, tensor.__init__
    set_name = ctypes.pythonapi.PyCapsule_SetName
    set_name.argtypes = [ctypes.py_object, ctypes.c_char_p]

    def new(cls: Any, name: str, array: Array) -> Any:  # noqa: ANN401  (a tensor)
        array = np.asarray(array)
        if array.dtype.kind in "OS":
            return empty_tensor(cls)
        # DLPack wants memory that is writable, and the stub wants it contiguous.
        if not array.size:
            array = without_elements(array)
        elif not (array.flags.c_contiguous and array.flags.writeable):
            array = array.copy(order="C")
        capsule = array.__dlpack__()
        made = tensor.from_dlpack(name, capsule)
        set_name(capsule, _TAKEN)
        return made

    def init(self: Any, name: str, array: Array) -> None:  # noqa: ANN401  (a tensor)
        array = np.asarray(array)
        if array.dtype.kind not in "OS":
            return  # `new` made it whole
        try:
            text_init(self, name, array.astype(object))
        finally:
            serializer.restore()

    utilities.serialize_byte_tensor = serializer
    tensor.__new__ = staticmethod(new)
    tensor.__init__ = init


def main() -> None:
    """Called at the end of `triton_python_backend_utils`, inside the stub."""
    if not needed():
        return
    import c_python_backend_utils  # type: ignore[import-not-found]  # inside the stub only
    import numpy.core.multiarray
    import triton_python_backend_utils

    owner: Any = numpy.core.multiarray  # where pybind11 looks the table up
    owner._ARRAY_API = patched_table(owner._ARRAY_API)  # noqa: SLF001  (its only name)
    install(c_python_backend_utils.Tensor, triton_python_backend_utils)
