"""Entry of the Python-based `fil` backend: Triton's stub imports this file by its name.

It serves configurations with ``backend: "fil"`` as the C++ backend would, on the CPU. The stub
puts this folder on `sys.path`, so that the package beside this file is found.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "common"))

from forest_backend.model import ForestModel as TritonPythonModel

__all__ = ["TritonPythonModel"]
