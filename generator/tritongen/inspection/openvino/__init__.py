"""OpenVINO's intermediate representation, read from its XML alone."""

from tritongen.inspection.openvino.reader import read_openvino

__all__ = ["read_openvino"]
