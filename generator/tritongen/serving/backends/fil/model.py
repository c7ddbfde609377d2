"""The Python-based `fil` backend, on the engine that the C++ backend has for the CPU: treelite's.

Triton's stub imports this file by its name. It serves configurations with ``backend: "fil"`` as the
C++ backend would, on the CPU. Parameters for the GPU are accepted and have no effect. SHAP values
(`treeshap_output`) are refused.
"""

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import treelite
import treelite.gtil

sys.path.append(str(Path(__file__).resolve().parent.parent / "common"))

from python_backends.batches import Array, Arrays
from python_backends.config import Json, RefusedError, model_path, parameters, tensors
from python_backends.serving import BackendModel, on_cpu

_INPUT, _OUTPUT = "input__0", "output__0"
_MULTICLASS = 2
_FILES = {
    "xgboost": "xgboost.model",
    "xgboost_json": "xgboost.json",
    "xgboost_ubj": "xgboost.ubj",
    "lightgbm": "model.txt",
    "treelite_checkpoint": "checkpoint.tl",
}


class ForestModel(BackendModel):
    """A forest behind the names of a configuration."""

    def load(self, args: Mapping[str, str], config: Json) -> None:
        """Reads the forest and holds the configuration against it."""
        on_cpu(args, "fil")
        given = parameters(config)
        kind = given.get("model_type", "xgboost")
        if kind not in _FILES:
            raise RefusedError(f"{kind} not recognized as a valid serialization format.")
        self._configure(given)
        unknown_fields = _flag(given, "xgboost_allow_unknown_field", default=False)
        self._threads = _within(_whole(given, "cpu_nthread", -1))
        path = model_path(args, config.get("default_model_filename") or _FILES[kind])
        try:
            self._model = _read(str(path), kind, unknown_fields)
        except Exception as error:
            raise RefusedError(str(error)) from error
        header = self._model.get_header_accessor()
        if int(header.get_field("num_target")[0]) != 1:
            raise RefusedError("Multi-target model not supported")
        self._classes = int(header.get_field("num_class")[0])
        task = int(header.get_field("task_type")[0])
        if self._probabilities and task == _MULTICLASS:
            leaf = int(header.get_field("leaf_vector_shape")[1])
            header.set_field("postprocessor", "softmax" if leaf == 1 else "identity_multiclass")
        self._check_tensors(config)

    def _configure(self, given: Mapping[str, str]) -> None:
        """What is answered: scores, classes or probabilities."""
        older = given.get("output_class", "")
        stated = older in {"true", "false"}
        self._classifies = older == "true" if stated else _flag(given, "is_classifier")
        self._threshold = _real(given, "threshold") if self._classifies else 0.5
        self._probabilities = _flag(given, "predict_proba", default=False)

    def _check_tensors(self, config: Json) -> None:
        outputs = {item.name: item for item in tensors(config, "output")}
        inputs = {item.name: item for item in tensors(config, "input")}
        for name, found in ((_INPUT, inputs), (_OUTPUT, outputs)):
            if name not in found:
                raise RefusedError(f"the configuration has no tensor {name}")
        if "treeshap_output" in outputs:
            raise RefusedError("the Python-based fil backend computes no SHAP values")
        self._width = int(np.prod(outputs[_OUTPUT].dims))

    def run(self, names: Collection[str], inputs: Arrays) -> Arrays:  # noqa: ARG002  (there is one)
        """Predictions of a table of rows."""
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
        if not self._classifies:
            return scores
        if self._probabilities:
            pair = self._classes == 1 and self._width == _MULTICLASS
            return np.hstack([1.0 - scores, scores]) if pair else scores
        if self._classes > 1:
            best: Array = scores.argmax(axis=1).reshape(-1, 1)
            return best
        above: Array = scores > self._threshold
        return above


def _read(path: str, kind: str, unknown_fields: bool) -> Any:  # noqa: ANN401  (a treelite.Model)
    load = treelite.frontend
    if kind == "lightgbm":
        return load.load_lightgbm_model(path)
    if kind == "treelite_checkpoint":
        return treelite.Model.deserialize(path)
    if kind == "xgboost":
        return load.load_xgboost_model_legacy_binary(path)
    form = "ubjson" if kind == "xgboost_ubj" else "json"
    return load.load_xgboost_model(path, format_choice=form, allow_unknown_field=unknown_fields)


def _within(threads: int) -> int:
    """OpenMP's maximum bounds the parameter."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    most = int(limit) if limit.isdecimal() and int(limit) else len(os.sched_getaffinity(0))
    return most if threads < 1 else min(threads, most)


def _text(given: Mapping[str, str], key: str) -> str:
    if key not in given:
        raise RefusedError(f"Required parameter {key} not found in config")
    return given[key]


def _flag(given: Mapping[str, str], key: str, *, default: bool | None = None) -> bool:
    """``true`` or ``false`` in lower case, nothing else."""
    if default is not None and key not in given:
        return default
    text = _text(given, key)
    if text not in {"true", "false"}:
        raise _wrong(key, text)
    return text == "true"


def _real(given: Mapping[str, str], key: str) -> float:
    text = _text(given, key)
    try:
        return float(text)
    except ValueError as error:
        raise _wrong(key, text) from error


def _whole(given: Mapping[str, str], key: str, default: int) -> int:
    text = given.get(key, str(default))
    try:
        return int(text)
    except ValueError as error:
        raise _wrong(key, text) from error


def _wrong(key: str, text: str) -> RefusedError:
    return RefusedError(f"Bad input for parameter {key}: {text}")


TritonPythonModel = ForestModel
