"""The user's samples: from a .npz file, a folder of .npy files, or a callable of their own.

Nothing is unpickled. A callable runs only when its name is given; it is the user's own code.
"""

import importlib
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tritongen.errors import InvalidInputError, describe_error
from tritongen.model.samples import Array, make_inputs, numpy_dtype
from tritongen.model.tensors import Shape, fits
from tritongen.optimize.child_jobs import ChildJob, DataSource, JobInput
from tritongen.trial.onnx_runtime import as_bytes

T = TypeVar("T")

LABEL_NAMES = ("labels", "label", "y", "targets", "target")


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs with one sample an entry of axis 0.

    Attributes:
        inputs: arrays by input, axis 0 the samples, each as `run_shape` says.
        labels: one a sample, None without.
        stacked: inputs whose axis 0 is the model's own batch axis; the others have the model's
            full shape behind the samples' axis.
        rows: number of runs.
    """

    inputs: Mapping[str, Array]
    labels: Array | None
    stacked: frozenset[str]
    rows: int

    def run(self, index: int) -> dict[str, Array]:
        """The inputs of one run."""
        return {
            name: array[index : index + 1] if name in self.stacked else array[index]
            for name, array in self.inputs.items()
        }

    def take(self, indices: Sequence[int]) -> "Samples":
        """Some of the samples, in that order."""
        chosen = list(indices)
        return Samples(
            {name: array[chosen] for name, array in self.inputs.items()},
            None if self.labels is None else self.labels[chosen],
            self.stacked,
            len(chosen),
        )


def seeded_samples(inputs: Sequence[JobInput], seed: int, rows: int) -> Samples:
    """Generated samples: as many runs with the sizes that the model is known to accept."""
    runs = [make_inputs([item.recipe for item in inputs], seed + n) for n in range(rows)]
    arrays = {item.name: np.stack([run[item.name] for run in runs]) for item in inputs}
    return Samples(arrays, None, frozenset(), rows)


def samples_of(job: ChildJob, rows: int) -> Samples:
    """The user's samples for a job, or so many generated ones; see `load_samples`."""
    if job.data is not None:
        return load_samples(job.data, job.inputs, job.renamed)
    return seeded_samples(job.inputs, job.seed, rows)


def load_samples(
    source: DataSource, inputs: Sequence[JobInput], renamed: Mapping[str, str]
) -> Samples:
    """The user's samples, checked against the model's inputs.

    Args:
        source: where they are.
        inputs: of the model.
        renamed: new name by old name; arrays may have either.

    Raises:
        InvalidInputError: TG220 they cannot be read; TG221 names, types or shapes do not fit, all
            faults in the details.
    """
    arrays = _arrays(source)
    where = source.path or source.function
    given = {renamed.get(name, name): array for name, array in arrays.items()}
    labels = _labels(given, source, {item.name for item in inputs}, where)
    faults: list[str] = []
    fitted: dict[str, Array] = {}
    stacked = set()
    for item in inputs:
        array = given.pop(item.name, None)
        if array is None:
            faults.append(f"there is no array for the input {item.name!r}")
            continue
        fault, is_stacked, converted = _fit(item, array)
        if fault:
            faults.append(f"input {item.name!r}: {fault}")
        fitted[item.name] = converted
        if is_stacked:
            stacked.add(item.name)
    faults += [f"{name!r} is no input of the model" for name in given]
    lengths = {name: len(array) for name, array in fitted.items() if array.ndim}
    if labels is not None and labels.ndim:
        lengths["labels"] = len(labels)
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in lengths.items())
        faults.append(f"the arrays differ in their number of samples: {counts}")
    rows = min(lengths.values(), default=0)
    if not faults and rows == 0:
        faults.append("there are no samples")
    if faults:
        raise InvalidInputError(
            "TG221", "the samples do not fit the model", where=where, details=faults
        )
    return Samples(fitted, labels, frozenset(stacked), rows)


def _labels(
    given: dict[str, Array], source: DataSource, inputs: set[str], where: str
) -> Array | None:
    if source.labels:
        if source.labels not in given:
            raise InvalidInputError(
                "TG221",
                f"there is no array {source.labels!r} with the labels",
                where=where,
                fix=f"It holds {', '.join(given) or 'nothing'}.",
            )
        return given.pop(source.labels)
    names = [name for name in LABEL_NAMES if name in given and name not in inputs]
    return given.pop(names[0]) if names else None


def _fit(item: JobInput, array: Array) -> tuple[str, bool, Array]:
    """What is wrong with an array, whether its axis 0 is the model's own, and it in its type."""
    target = numpy_dtype(item.dtype)
    if target.kind == "O" or array.dtype.kind in "OSU":
        if target.kind != "O" or array.dtype.kind not in "OSU":
            return f"its type is {array.dtype}, not {item.dtype}", False, array
        array = as_bytes(array)
    elif not np.can_cast(array.dtype, target, "same_kind"):
        return f"its type is {array.dtype}, which does not fit {item.dtype}", False, array
    dims = tuple(None if dim < 0 else dim for dim in item.dims)
    own = (None, *dims[1:]) if dims and dims[0] in {None, 1} else None
    whole = (None, *dims)
    stacked = own is not None and fits(own, array.shape)
    if not stacked and not fits(whole, array.shape):
        wanted = " or ".join(_show(dims) for dims in (own, whole) if dims is not None)
        return f"its shape is {list(array.shape)}, not {wanted}", False, array
    return "", stacked, array if target.kind == "O" else array.astype(target, copy=False)


def _show(dims: Shape) -> str:
    names = ["samples", *("any" if dim is None else str(dim) for dim in dims[1:])]
    return f"[{', '.join(names)}]"


def _arrays(source: DataSource) -> dict[str, Array]:
    if source.function:
        return _from_function(source)
    path = Path(source.path)

    def fault(what: str, fix: str = "") -> InvalidInputError:
        return InvalidInputError("TG220", what, where=str(path), fix=fix)

    try:
        if path.is_dir():
            files = sorted(path.glob("*.npy"))
            if not files:
                raise fault("the folder holds no .npy files")
            return {item.stem: np.load(item, mmap_mode="r", allow_pickle=False) for item in files}
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            fix = "Save a .npz file: numpy.savez(FILE, NAME=ARRAY)."
            raise fault("the file holds one array without a name", fix)
        with archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise fault("there is no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise fault(f"cannot be read: {describe_error(error)}") from None


def _from_function(source: DataSource) -> dict[str, Array]:
    result = call_function(source.function, source.folders, "TG220", lambda function: function())
    if not isinstance(result, Mapping):
        raise InvalidInputError(
            "TG220", f"returned {type(result).__name__}, no mapping", where=source.function
        )
    return {str(name): np.asarray(array) for name, array in result.items()}


def call_function(
    name: str, folders: Sequence[str], code: str, use: Callable[[Callable[..., Any]], T]
) -> T:
    """What comes of calling ``module:function``, the user's own code.

    Raises:
        InvalidInputError: `code`, there is no such module or function, or importing or calling it
            fails.
    """

    def fault(what: str) -> InvalidInputError:
        return InvalidInputError(code, what, where=name)

    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute.isidentifier():
        raise fault("must be written module:function")
    with _importable(folders):
        try:
            function = getattr(importlib.import_module(module_name), attribute)
        except AttributeError:
            raise fault("the module has no such function") from None
        except Exception as error:  # noqa: BLE001  (the user's own code may raise anything)
            raise fault(f"cannot be imported: {type(error).__name__}: {error}") from None
    if not callable(function):
        raise fault("is no function")
    try:
        return use(function)
    except Exception as error:  # noqa: BLE001  (the user's own code may raise anything)
        raise fault(f"raised {type(error).__name__}: {error}") from None


@contextmanager
def _importable(folders: Sequence[str]) -> Any:  # noqa: ANN401  (a generator of nothing)
    before = list(sys.path)
    sys.path[:0] = list(folders)
    try:
        yield
    finally:
        sys.path[:] = before
