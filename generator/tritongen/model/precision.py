"""The arithmetic of a model, which decides how closely two runs of it can agree."""

from enum import StrEnum

from tritongen.model.facts import ModelFacts
from tritongen.model.tensors import DType


class Precision(StrEnum):
    """The arithmetic that decides how closely two runs of the same rows agree."""

    SINGLE = "single"
    HALF = "half"
    BRAIN = "brain"
    QUANTIZED = "quantized"


def precision_of(facts: ModelFacts) -> Precision:
    """The coarsest arithmetic in the model decides how closely rows can agree."""
    if facts.onnx is not None and facts.onnx.quantized_operators:
        return Precision.QUANTIZED
    kinds = {name.upper() for name, _ in facts.precisions[:1]}
    tensors = {spec.dtype for spec in (*facts.inputs, *facts.outputs)}
    if DType.BF16 in tensors or kinds & {"BF16", "BFLOAT16"}:
        return Precision.BRAIN
    if DType.FP16 in tensors or kinds & {"FP16", "FLOAT16"}:
        return Precision.HALF
    return Precision.SINGLE
