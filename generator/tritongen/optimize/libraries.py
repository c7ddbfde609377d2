"""onnx, onnxruntime and openvino, imported when they are first needed."""

import os
from typing import Any

from tritongen.errors import EnvironmentProblem

FIX = "pip install 'tritongen[optimize]'"

# onnx and onnxruntime ship no types; messages and sessions are passed on as they are.
Proto = Any
Library = Any


def onnx() -> Library:
    """The package onnx with the submodules that are used here.

    Raises:
        EnvironmentProblem: TG006, it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.defs
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
        import onnx.version_converter
    except ImportError as error:
        raise _missing("onnx", error) from None
    return onnx


def onnxruntime() -> Library:
    """The package onnxruntime, silent and without telemetry.

    Raises:
        EnvironmentProblem: TG006, it is not installed.
    """
    # Newest wheels report usage to their maker unless told otherwise before the import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("onnxruntime", error) from None
    return onnxruntime


def openvino() -> Library:
    """The package openvino.

    Raises:
        EnvironmentProblem: TG006, it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        what = f"converting models needs openvino, which cannot be imported: {error}"
        raise EnvironmentProblem("TG006", what, fix="pip install 'tritongen[openvino]'") from None
    return openvino


def _missing(name: str, error: ImportError) -> EnvironmentProblem:
    what = f"rewriting models needs {name}, which cannot be imported: {error}"
    return EnvironmentProblem("TG006", what, fix=FIX)
