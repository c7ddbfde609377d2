"""ONNX rewrites and quantisation, each proven or measured by running both models.

The modules that do the work need onnx and onnxruntime and run in a child process; `jobs` says what
is asked of it and what it answers.
"""
