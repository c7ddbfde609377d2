"""scikit-learn's classifiers on its real data sets, exported by skl2onnx's defaults: with maps.

Five kinds: linear, nearest neighbours, forest, boosting, neural net; labels are numbers or texts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier, its ONNX export with ZipMap, and rows that it has not seen."""

    fitted: Any
    export: onnx.ModelProto
    rows: np.ndarray

    @property
    def classes(self) -> list[str]:
        """Names of the classes, as texts."""
        return [str(item) for item in self.fitted.classes_]


# name: (data set, whether labels are texts, classifier)
KINDS: dict[str, tuple[Callable[..., Any], bool, Any]] = {
    "linear": (load_wine, True, make_pipeline(StandardScaler(), LogisticRegression())),
    "neighbours": (load_iris, True, KNeighborsClassifier(5)),
    "forest": (load_breast_cancer, False, RandomForestClassifier(20, random_state=0)),
    "boosting": (load_wine, False, GradientBoostingClassifier(n_estimators=10, random_state=0)),
    "net": (load_digits, False, MLPClassifier((32,), max_iter=30, random_state=0, tol=1.0)),
}


@cache
def classifier(kind: str) -> Classifier:
    """Fit one kind on two thirds of its data set."""
    load, texts, model = KINDS[kind]
    data = load()
    labels = np.asarray(data.target_names)[data.target] if texts else data.target
    rows = data.data.astype(np.float32)
    train, test, train_labels, _ = train_test_split(
        rows, labels, test_size=1 / 3, random_state=0, stratify=labels
    )
    fitted = model.fit(train, train_labels)
    return Classifier(fitted, to_onnx(fitted, train[:1]), test[:24])
