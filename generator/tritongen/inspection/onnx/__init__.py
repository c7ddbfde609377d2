"""ONNX files, read by their headers alone."""

from tritongen.inspection.onnx.reader import external_locations, read_onnx

__all__ = ["external_locations", "read_onnx"]
