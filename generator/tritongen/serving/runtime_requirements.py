"""What a model's file asks of the runtime that loads it, and which releases bring such a one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritongen.model.releases import Release

__all__ = ["ModelNeeds", "unmet"]


@dataclass(frozen=True, slots=True)
class ModelNeeds:
    """Of one file.

    Attributes:
        path: relative to the repository.
        onnx_ir: IR version of an ONNX file; 0 for another format.
        opsets: (domain, version) of an ONNX file.
        producer: of a TensorRT plan, such as ``TensorRT 8.5``; empty for another format.
    """

    path: str
    onnx_ir: int = 0
    opsets: tuple[tuple[str, int], ...] = ()
    producer: str = ""


def unmet(release: "Release", needs: Sequence[ModelNeeds]) -> str:
    """The first need that a release's ONNX Runtime does not meet, in words; empty when it does."""
    greatest = {"ai.onnx": release.onnx_opset, "ai.onnx.ml": release.onnx_ml_opset}
    for need in needs:
        if need.onnx_ir > release.onnx_ir:
            return f"{need.path} has IR version {need.onnx_ir}"
        for domain, version in need.opsets:
            if version > greatest.get(domain, version):
                return f"{need.path} has opset {version} of {domain}"
    return ""
