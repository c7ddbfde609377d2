"""A forest behind the names of a configuration."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import treelite
import treelite.gtil
from python_backends.config import Json, RefusedError, tensors

from .settings import ForestSettings

Array = np.ndarray[Any, np.dtype[Any]]

_INPUT, _OUTPUT = "input__0", "output__0"
_MULTICLASS = 2


class Forest:
    """One loaded forest.

    Raises:
        RefusedError: the file cannot be read, or the configuration does not suit it.
    """

    def __init__(self, path: Path, config: Json, settings: ForestSettings) -> None:
        self._settings = settings
        try:
            self._model = _read(path, settings)
        except Exception as error:
            raise RefusedError(str(error)) from error
        header = self._model.get_header_accessor()
        if int(header.get_field("num_target")[0]) != 1:
            raise RefusedError("Multi-target model not supported")
        self._classes = int(header.get_field("num_class")[0])
        task = int(header.get_field("task_type")[0])
        if settings.probabilities and task == _MULTICLASS:
            leaf = int(header.get_field("leaf_vector_shape")[1])
            header.set_field("postprocessor", "softmax" if leaf == 1 else "identity_multiclass")
        outputs = {item.name: item for item in tensors(config, "output")}
        inputs = {item.name: item for item in tensors(config, "input")}
        for name, found in ((_INPUT, inputs), (_OUTPUT, outputs)):
            if name not in found:
                raise RefusedError(f"the configuration has no tensor {name}")
        if "treeshap_output" in outputs:
            raise RefusedError("the Python-based fil backend computes no SHAP values")
        self._width = int(np.prod(outputs[_OUTPUT].dims))
        self._threads = _within(settings.threads)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Predictions of a table of rows.

        Raises:
            RefusedError: the table does not suit the forest.
        """
        table = np.ascontiguousarray(inputs[_INPUT], dtype=np.float32)
        try:
            result = treelite.gtil.predict(self._model, table, nthread=self._threads)
        except Exception as error:
            raise RefusedError(str(error)) from error
        answer = self._answer(np.asarray(result, dtype=np.float32).reshape(len(table), -1))
        if answer.shape[1] != self._width:
            raise RefusedError(
                f"the forest answers with {answer.shape[1]} numbers a row, the configuration "
                f"states {self._width}"
            )
        return {_OUTPUT: answer.astype(np.float32)}

    def _answer(self, scores: Array) -> Array:
        settings = self._settings
        if not settings.classifies:
            return scores
        if settings.probabilities:
            pair = self._classes == 1 and self._width == _MULTICLASS
            return np.hstack([1.0 - scores, scores]) if pair else scores
        if self._classes > 1:
            best: Array = scores.argmax(axis=1).reshape(-1, 1)
            return best
        above: Array = scores > settings.threshold
        return above


def _read(path: Path, settings: ForestSettings) -> Any:  # noqa: ANN401  (a treelite.Model)
    load = treelite.frontend
    if settings.kind == "lightgbm":
        return load.load_lightgbm_model(str(path))
    if settings.kind == "treelite_checkpoint":
        return treelite.Model.deserialize(str(path))
    if settings.kind == "xgboost":
        return load.load_xgboost_model_legacy_binary(str(path))
    form = "ubjson" if settings.kind == "xgboost_ubj" else "json"
    return load.load_xgboost_model(
        str(path), format_choice=form, allow_unknown_field=settings.unknown_fields
    )


def _within(threads: int) -> int:
    """OpenMP's maximum bounds the parameter."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    most = int(limit) if limit.isdecimal() and int(limit) else len(os.sched_getaffinity(0))
    return most if threads < 1 else min(threads, most)
