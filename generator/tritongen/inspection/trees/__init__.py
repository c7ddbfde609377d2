"""Forests of decision trees, read without the libraries that grew them."""

from tritongen.inspection.trees.lightgbm import read_lightgbm
from tritongen.inspection.trees.treelite import read_treelite
from tritongen.inspection.trees.xgboost import (
    read_xgboost_binary,
    read_xgboost_json,
    read_xgboost_ubj,
)

__all__ = [
    "read_lightgbm",
    "read_treelite",
    "read_xgboost_binary",
    "read_xgboost_json",
    "read_xgboost_ubj",
]
