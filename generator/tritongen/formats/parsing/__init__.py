"""Encodings that model files are made of, read within bounds of time and memory."""
