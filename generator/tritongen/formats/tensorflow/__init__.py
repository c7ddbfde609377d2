"""TensorFlow's SavedModels and graphs, read without TensorFlow."""

from tritongen.formats.tensorflow.graphdef import read_graphdef
from tritongen.formats.tensorflow.savedmodel import read_savedmodel

__all__ = ["read_graphdef", "read_savedmodel"]
