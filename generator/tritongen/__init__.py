"""Configuration generator, checker, runner and load probe for Triton Inference Server."""

__version__ = "0.1.0"

__all__ = ["__version__"]
