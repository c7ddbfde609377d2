"""ONNX files, read by their headers alone."""

from tritongen.formats.onnx.onnx_reader import external_locations, read_onnx

__all__ = ["external_locations", "read_onnx"]
