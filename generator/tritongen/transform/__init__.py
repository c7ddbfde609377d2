"""ONNX rewrites and quantisation, each proven by running both models."""
