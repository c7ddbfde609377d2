"""Forests through treelite, whose engine is the one that Triton's fil backend has for the CPU."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tritongen.model.backends.fil import INPUT, OUTPUT
from tritongen.model.evidence import ReportedTensor
from tritongen.model.facts import ModelFormat
from tritongen.model.samples import Array
from tritongen.trial.runtime import DeclaredInterface, RuntimeRefusal, library, lines_of, refusal

_MULTICLASS = 2


class Treelite:
    """The installed treelite.

    Args:
        format_: how the forest is serialised.
        interface: its output's width and the backend's parameters decide what is answered.
    """

    def __init__(self, format_: ModelFormat, interface: DeclaredInterface) -> None:
        self._library = library("treelite", "forests need", "trees", ["gtil"])
        self._format = format_
        self._interface = interface

    @property
    def name(self) -> str:
        """``treelite`` and its version."""
        return f"treelite {self._library.__version__}"

    def load(self, path: Path, *, threads: int, inter_op: int = 1) -> "ForestSession":
        """Load a forest; see `ModelRuntime.load`."""
        del inter_op
        try:
            model = self._read(os.fspath(path))
            features = model.num_feature
        except Exception as error:  # noqa: BLE001  (treelite raises what its C++ code throws)
            raise refusal(error, lines_of(error)[0]) from None
        if features < 1:
            raise RuntimeRefusal("the forest has no features")
        return ForestSession(self._library, model, threads, self._interface)

    def _read(self, path: str) -> Any:  # noqa: ANN401  (a treelite.Model)
        load = self._library.frontend
        if self._format is ModelFormat.LIGHTGBM:
            return load.load_lightgbm_model(path)
        if self._format is ModelFormat.TREELITE:
            return self._library.Model.deserialize(path)
        if self._format is ModelFormat.XGBOOST_BINARY:
            return load.load_xgboost_model_legacy_binary(path)
        kind = "ubjson" if self._format is ModelFormat.XGBOOST_UBJ else "json"
        return load.load_xgboost_model(path, format_choice=kind)


class ForestSession:
    """One loaded forest."""

    def __init__(
        self,
        library: ModuleType,
        model: Any,  # noqa: ANN401  (a treelite.Model)
        threads: int,
        interface: DeclaredInterface,
    ) -> None:
        self._engine = library.gtil
        self._model = model
        self._threads = threads
        header = model.get_header_accessor()
        self._classes = int(header.get_field("num_class")[0])
        given = interface.parameters
        self._classifies = given.get("is_classifier", given.get("output_class", "false")) == "true"
        self._probabilities = given.get("predict_proba", "false") == "true"
        self._threshold = float(given.get("threshold", "0.5"))
        shape = interface.outputs[0].shape if interface.outputs else None
        last = shape[-1] if shape else None
        self._width = last if isinstance(last, int) else 1
        if self._classifies and self._probabilities and self._classes > 1:
            # As the backend does, whatever the objective's own way to probabilities is.
            leaf = int(header.get_field("leaf_vector_shape")[1])
            header.set_field("postprocessor", "softmax" if leaf == 1 else "identity_multiclass")

    @property
    def inputs(self) -> Sequence[ReportedTensor]:
        """The table of features."""
        return (ReportedTensor(INPUT, (-1, int(self._model.num_feature))),)

    @property
    def outputs(self) -> Sequence[ReportedTensor]:
        """Predictions, as wide as the configuration says."""
        return (ReportedTensor(OUTPUT, (-1, self._width)),)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; see `LoadedModel.run`."""
        table = np.ascontiguousarray(inputs[INPUT], dtype=np.float32)
        try:
            result = self._engine.predict(self._model, table, nthread=self._threads)
        except Exception as error:  # noqa: BLE001  (treelite raises what its C++ code throws)
            raise refusal(error, lines_of(error)[0]) from None
        scores = np.asarray(result, dtype=np.float32).reshape(len(table), -1)
        return {OUTPUT: np.ascontiguousarray(self._answer(scores), dtype=np.float32)}

    def _answer(self, scores: Array) -> Array:
        """Scores, classes or probabilities, as the backend's parameters say."""
        if not self._classifies:
            return scores
        if self._probabilities:
            if self._classes == 1 and self._width == _MULTICLASS:
                return np.hstack([1.0 - scores, scores])
            return scores
        if self._classes > 1:
            best: Array = scores.argmax(axis=1).reshape(-1, 1)
            return best
        above: Array = (scores > self._threshold).reshape(-1, 1)
        return above
