"""Forests of decision trees, read without the libraries that grew them."""

from tritongen.formats.trees.lightgbm import read_lightgbm
from tritongen.formats.trees.treelite import read_treelite
from tritongen.formats.trees.xgboost import read_xgboost_binary, read_xgboost_json, read_xgboost_ubj

__all__ = [
    "read_lightgbm",
    "read_treelite",
    "read_xgboost_binary",
    "read_xgboost_json",
    "read_xgboost_ubj",
]
