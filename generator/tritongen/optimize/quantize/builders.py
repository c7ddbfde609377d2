"""Quantised models by onnxruntime's own tools, and the form that suits the CPU: tried."""

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

from tritongen.model.samples import Array
from tritongen.optimize.apply_fixes import MODEL_FILE
from tritongen.optimize.child_jobs import ChildJob, StageRefusal
from tritongen.optimize.libraries import Library, onnx, onnxruntime
from tritongen.optimize.onnx_session import OrtRunner, RunRefusal, needs_data_file
from tritongen.optimize.paired_speed import Point, speedups
from tritongen.optimize.quantize.prepare import DYNAMIC_TYPES, STATIC_TYPES, Prepared, Ranges

# Chosen: at most four forms are timed, before the speed of the kept one is measured at length.
_TRIAL_S = 1.0


class BuildFault(StageRefusal):
    """onnxruntime's tools do not rewrite this model; the message is theirs, one line."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


@dataclass(frozen=True, slots=True)
class DynamicBuilder:
    """8-bit weights; activations are quantised at run time by their own range.

    Attributes:
        prepared: the model.
        reduce_range: 7-bit weights, for CPUs whose 8-bit sums saturate.
    """

    prepared: Prepared
    reduce_range: bool

    @property
    def candidates(self) -> list[str]:
        """Operators with constant weights that the runtime has a quantised form of."""
        return self.prepared.nodes(DYNAMIC_TYPES)

    @property
    def recipe(self) -> Mapping[str, object]:
        """Its settings."""
        return {
            "method": "dynamic",
            "weights": "int8, per channel" + (", 7 bits" if self.reduce_range else ""),
            "activations": "uint8, scaled at run time",
        }

    def build(self, target: Path, exclude: Collection[str] = ()) -> Path:
        """Write a quantised model.

        Raises:
            BuildFault: the tools fail on this model.
        """
        with quiet_tools() as quantization:
            types = [name for name in DYNAMIC_TYPES if name in self.prepared.names]
            quantization.quantize_dynamic(
                os.fspath(self.prepared.path),
                os.fspath(target),
                op_types_to_quantize=types,
                per_channel=True,
                reduce_range=self.reduce_range,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=list(exclude),
                # Inference does not follow operators of other domains; their results are floats.
                extra_options={"DefaultTensorType": onnx().TensorProto.FLOAT},
                use_external_data_format=needs_data_file(self.prepared.path),
            )
        return target


@dataclass(frozen=True, slots=True)
class StaticBuilder:
    """8-bit weights and activations, with Q/DQ operators around what is quantised.

    Attributes:
        prepared: the model.
        ranges: of every tensor, from calibration.
        types: operators that are quantised.
        signed: int8 activations; uint8 otherwise.
        reduce_range: 7-bit weights.
    """

    prepared: Prepared
    ranges: Ranges
    types: tuple[str, ...]
    signed: bool = True
    reduce_range: bool = False

    @property
    def candidates(self) -> list[str]:
        """Operators of the types that are quantised."""
        return self.prepared.nodes(self.types)

    @property
    def recipe(self) -> Mapping[str, object]:
        """Its settings."""
        return {
            "method": "static",
            "weights": "int8, per channel" + (", 7 bits" if self.reduce_range else ""),
            "activations": f"{'int8' if self.signed else 'uint8'}, scaled by calibration",
            "operators": ", ".join(sorted(set(self.types) & set(self.prepared.names))),
        }

    def build(self, target: Path, exclude: Collection[str] = ()) -> Path:
        """See `DynamicBuilder.build`."""
        try:
            self._build(target, exclude, adjust_biases=True)
        except BuildFault:
            # Some versions stumble over a bias beside weights with a scale a channel.
            self._build(target, exclude, adjust_biases=False)
        return target

    def _build(self, target: Path, exclude: Collection[str], *, adjust_biases: bool) -> None:
        with quiet_tools() as quantization:
            from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
            from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

            kinds = quantization.QuantType
            quantizer = QDQQuantizer(
                load_model_with_shape_infer(self.prepared.path),
                True,
                self.reduce_range,
                kinds.QInt8,
                kinds.QInt8 if self.signed else kinds.QUInt8,
                self.ranges,
                [],
                list(exclude),
                list(self.types),
                {
                    "DefaultTensorType": onnx().TensorProto.FLOAT,
                    "QDQDisableWeightAdjustForInt32Bias": not adjust_biases,
                },
            )
            quantizer.quantize_model()
            quantizer.model.save_model_to_file(
                os.fspath(target), needs_data_file(self.prepared.path)
            )


# Builds quantised models of one kind from one prepared model.
Builder = DynamicBuilder | StaticBuilder


@contextmanager
def quiet_tools() -> Iterator[Library]:
    """The quantisation package, without its advice and with one kind of failure."""
    onnx()
    onnxruntime()
    from onnxruntime import quantization

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(StringIO()):
            yield quantization
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  (the tools raise whatever they meet)
        raise BuildFault(error) from None
    finally:
        logging.disable(before)


def choose_static(
    job: ChildJob, prepared: Prepared, ranges: Ranges, sample: Mapping[str, Array]
) -> StaticBuilder:
    """The fastest of signed and unsigned activations, around few or many kinds of operators.

    x86 multiplies unsigned by signed bytes; how well a runtime copes with signed by signed, and
    whether it pays to keep everything in 8 bits, differs from CPU to CPU.

    Raises:
        StageRefusal: none of them can be built or run.
    """
    signs = (True,) if job.isa.arm or job.gpu else (True, False)
    best: tuple[float, StaticBuilder] | None = None
    failure = ""
    builders = [
        StaticBuilder(prepared, ranges, types, signed=signed, reduce_range=not job.isa.vnni)
        for types in _type_sets(prepared)
        for signed in signs
    ]
    for number, builder in enumerate(builders):
        folder = Path(job.work) / f"form-{number}"
        folder.mkdir()
        try:
            path = builder.build(folder / MODEL_FILE)
            (speed,) = speedups(
                (partial(OrtRunner, Path(job.path)), partial(OrtRunner, path)),
                [sample],
                [Point(1, 1)],
                _TRIAL_S,
            )
        except (BuildFault, RunRefusal) as problem:
            failure = failure or str(problem)
            continue
        if best is None or speed.value > best[0]:
            best = (speed.value, builder)
    if best is None:
        raise StageRefusal(failure or "no form of it can be built")
    return best[1]


def _type_sets(prepared: Prepared) -> list[tuple[str, ...]]:
    """The heavy operators alone, and all that have a quantised form."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    every = {*QDQRegistry, *QLinearOpsRegistry} & set(prepared.names)
    heavy = tuple(sorted(every & set(STATIC_TYPES)))
    if not heavy:
        return []
    sets = [heavy]
    if every != set(heavy):
        sets.append(tuple(sorted(every)))
    return sets
