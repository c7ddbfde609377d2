"""TensorFlow's SavedModels and graphs, read without TensorFlow."""

from tritongen.inspection.tensorflow.graphdef import read_graphdef
from tritongen.inspection.tensorflow.savedmodel import read_savedmodel

__all__ = ["read_graphdef", "read_savedmodel"]
