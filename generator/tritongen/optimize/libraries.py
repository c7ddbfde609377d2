"""onnx, onnxruntime and openvino, imported when they are first needed."""

from typing import Any

from tritongen.trial.runtime import library

FIX = "pip install 'tritongen[optimize]'"

_REWRITING = "rewriting models needs"
_SUBMODULES = (
    "checker", "defs", "helper", "numpy_helper", "shape_inference", "version_converter",
)  # fmt: skip
# onnx and onnxruntime ship no types; messages and sessions are passed on as they are.
Proto = Any
Library = Any


def onnx() -> Library:
    """The package onnx with the submodules that are used here.

    Raises:
        EnvironmentProblem: TG006, it is not installed.
    """
    return library("onnx", _REWRITING, "optimize", _SUBMODULES)


def onnxruntime() -> Library:
    """The package onnxruntime, without telemetry; see `onnx`."""
    return library("onnxruntime", _REWRITING, "optimize")


def openvino() -> Library:
    """The package openvino; see `onnx`."""
    return library("openvino", "converting models needs", "openvino")
