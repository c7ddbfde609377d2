"""Trains the demo's small models on scikit-learn's own data sets and exports them to ONNX.

The results are committed, so that the generated repository is the same on every machine; run this
again only to change them: `python demo/train.py`, then `tritongen build demo/models`.
"""

from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODELS = Path(__file__).parent / "models"
OPSET = 17

# name, data set, estimator, tensor outputs; ZipMap is what scikit-learn's converter adds by
# default and what Triton cannot serve, so one model keeps it to show the finding.
RECIPES = (
    ("digits", load_digits, MLPClassifier((64,), max_iter=400, random_state=0), True),
    ("breast_cancer", load_breast_cancer, RandomForestClassifier(40, random_state=0), True),
    ("wine_zipmap", load_wine, LogisticRegression(max_iter=500), False),
)


def rows(name: str, values: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Real rows as samples: held-out ones, or so many scanned digits that they fill a page."""
    return values[:784].astype("uint8") if name == "digits" else test


def main() -> None:
    """Train, report the accuracy on held-out rows, export."""
    for name, load, estimator, tensors in RECIPES:
        values, labels = load(return_X_y=True)
        train, test, train_labels, test_labels = train_test_split(
            values.astype("float32"), labels, random_state=0
        )
        model = make_pipeline(StandardScaler(), estimator).fit(train, train_labels)
        options = {"zipmap": not tensors}
        onnx_model = to_onnx(model, train[:1], target_opset=OPSET, options=options)
        path = MODELS / name / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(onnx_model.SerializeToString())
        np.savez_compressed(path.with_name("samples.npz"), X=rows(name, values, test))
        size = path.stat().st_size
        print(f"{name}: accuracy {model.score(test, test_labels):.3f}, {size:,} bytes")


if __name__ == "__main__":
    main()
