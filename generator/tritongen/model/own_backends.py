"""Backends of the embedded Triton that are this project's own, on Triton's Python backend."""

OWN_BACKENDS = frozenset({"fil", "onnxruntime", "openvino", "pytorch"})
