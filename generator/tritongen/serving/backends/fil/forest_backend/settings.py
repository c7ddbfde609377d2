"""Parameters of the backend, read as the C++ backend reads them."""

from collections.abc import Mapping
from dataclasses import dataclass

from python_backends.config import Json, RefusedError, parameters

FILES = {
    "xgboost": "xgboost.model",
    "xgboost_json": "xgboost.json",
    "xgboost_ubj": "xgboost.ubj",
    "lightgbm": "model.txt",
    "treelite_checkpoint": "checkpoint.tl",
}


@dataclass(frozen=True, slots=True)
class ForestSettings:
    """What a configuration asks of the forest.

    Attributes:
        kind: how the file is serialised; a key of `FILES`.
        classifies: whether classes are predicted.
        threshold: above which a binary classifier answers 1.
        probabilities: whether a classifier answers with them.
        unknown_fields: whether fields of XGBoost's JSON that are not known are ignored.
        threads: of one execution; -1 for OpenMP's choice.
    """

    kind: str
    classifies: bool
    threshold: float
    probabilities: bool
    unknown_fields: bool
    threads: int


def settings_of(config: Json) -> ForestSettings:
    """Reads and checks the parameters.

    Raises:
        RefusedError: a required key is missing, or a value cannot be read.
    """
    given = parameters(config)
    kind = given.get("model_type", "xgboost")
    if kind not in FILES:
        raise RefusedError(f"{kind} not recognized as a valid serialization format.")
    older = given.get("output_class", "")
    stated = older in {"true", "false"}
    classifies = older == "true" if stated else _flag(given, "is_classifier")
    return ForestSettings(
        kind=kind,
        classifies=classifies,
        threshold=_real(given, "threshold") if classifies else 0.5,
        probabilities=_flag(given, "predict_proba", default=False),
        unknown_fields=_flag(given, "xgboost_allow_unknown_field", default=False),
        threads=_whole(given, "cpu_nthread", -1),
    )


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
