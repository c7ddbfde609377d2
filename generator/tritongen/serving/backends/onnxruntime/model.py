"""Entry of the Python-based `onnxruntime` backend: Triton's stub imports this file by its name.

It serves configurations with ``backend: "onnxruntime"`` as the C++ backend would, on the CPU. The
stub puts this folder on `sys.path`, so that the package beside this file is found.
"""

import os
import sys
from pathlib import Path

# numpy holds arrays here and computes nothing: threads of its own, one for each core, would only
# spin for a while as the process starts.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# The version of the target's release, which the tool has fetched.
if folder := os.environ.get("TRITONGEN_ONNXRUNTIME_FOLDER"):
    sys.path.insert(0, folder)
sys.path.append(str(Path(__file__).resolve().parent.parent / "common"))

from ort_backend.model import OnnxModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
