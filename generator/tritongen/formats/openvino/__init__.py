"""OpenVINO's intermediate representation, read from its XML alone."""

from tritongen.formats.openvino.openvino_reader import read_openvino

__all__ = ["read_openvino"]
