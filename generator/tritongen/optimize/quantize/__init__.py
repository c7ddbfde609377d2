"""Quantisation under an accuracy gate."""
