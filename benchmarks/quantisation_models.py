"""Models trained here and now on scikit-learn's data sets, for the benchmarks of `optimize`.

Handwritten digits and wines; a third of every data set is held out and becomes the samples.
Training is seeded and takes seconds.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from torch import nn

Array = np.ndarray[Any, Any]
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Data:
    """A data set, a third held out; inputs have their samples on axis 0."""

    train: Array
    train_labels: Array
    test: Array
    test_labels: Array


@dataclass(frozen=True, slots=True)
class Case:
    """One model of the table.

    Attributes:
        what: in words.
        data: its samples.
        build: an untrained network.
        epochs: of training.
        rate: of learning.
    """

    what: str
    data: Callable[[], Data]
    build: Callable[[], nn.Module]
    epochs: int
    rate: float = 2e-3


def _digits(shape: tuple[int, ...], scale: int = 1) -> Data:
    """Pixels from 0 to 1 in a shape; with `scale`, every pixel is a square of that side."""
    images, labels = load_digits(return_X_y=True)
    grids = (images / 16).astype(np.float32).reshape(-1, 8, 8)
    grids = grids.repeat(scale, axis=1).repeat(scale, axis=2)
    train, test, first, second = train_test_split(
        grids.reshape(-1, *shape), labels, test_size=1 / 3, random_state=0
    )
    return Data(train, first, test, second)


def _wine() -> Data:
    """Thirteen measurements of wines in their own units: from tenths to thousands."""
    rows, kinds = load_wine(return_X_y=True)
    train, test, first, second = train_test_split(
        rows.astype(np.float32), kinds, test_size=1 / 3, random_state=0, stratify=kinds
    )
    return Data(train, first, test, second)


def _linear_wine() -> nn.Module:
    """A linear classifier fitted on scaled measurements, the scaling folded into its weights."""
    data = _wine()
    mean, spread = data.train.mean(axis=0), data.train.std(axis=0)
    fitted = LogisticRegression().fit((data.train - mean) / spread, data.train_labels)
    weights = fitted.coef_ / spread
    layer = nn.Linear(len(mean), len(fitted.classes_))
    layer.weight.data = torch.tensor(weights, dtype=torch.float32)
    layer.bias.data = torch.tensor(fitted.intercept_ - weights @ mean, dtype=torch.float32)
    return layer


class _Recurrent(nn.Module):
    """An LSTM over the rows of an image; the last state is read out."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(x)
        return self.out(states[:, -1])


class _Transformer(nn.Module):
    """A transformer encoder over the rows of an image."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.place = nn.Parameter(torch.randn(8, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.encoder(self.embed(x) + self.place).mean(dim=1))


def _perceptron(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolutional(side: int, *channels: int) -> nn.Sequential:
    """A small VGG for images [1, side, side]; every convolution halves the side."""
    layers: list[nn.Module] = []
    for before, after in pairwise((1, *channels)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    left = side >> len(channels)
    return nn.Sequential(*layers, nn.Flatten(1), nn.Linear(channels[-1] * left * left, 10))


SMALL_CNN = Case(
    "CNN, 2 convolutions, digits at 8 × 8",
    lambda: _digits((1, 8, 8)),
    lambda: convolutional(8, 16, 32),
    epochs=6,
)


CASES: Mapping[str, Case] = MappingProxyType(
    {
        "cnn": Case(
            "CNN, 3 convolutions, digits at 32 × 32",
            lambda: _digits((1, 32, 32), scale=4),
            lambda: convolutional(32, 64, 128, 128),
            epochs=3,
        ),
        "transformer": Case(
            "transformer, 3 layers of width 192, rows of digits",
            lambda: _digits((8, 8)),
            lambda: _Transformer(192, 3),
            epochs=8,
            rate=5e-4,
        ),
        "lstm": Case(
            "LSTM of 256 units, rows of digits",
            lambda: _digits((8, 8)),
            lambda: _Recurrent(256),
            epochs=8,
        ),
        "mlp": Case(
            "MLP 64-1024-1024-10, digits",
            lambda: _digits((64,)),
            lambda: _perceptron(64, 1024, 1024, 10),
            epochs=6,
            rate=1e-3,
        ),
        "mlp_tiny": Case(
            "MLP 64-24-10, digits",
            lambda: _digits((64,)),
            lambda: _perceptron(64, 24, 10),
            epochs=20,
        ),
        "linear": Case(
            "linear classifier 13-3, wine in its own units",
            _wine,
            _linear_wine,
            epochs=0,
        ),
    }
)


def make(
    name: str, folder: Path, *, quick: bool, batch: int | None = None, case: Case | None = None
) -> Path:
    """Train a case; its model and samples in a folder.

    Args:
        name: of the model, and of the case where none is given.
        folder: takes ``models/NAME/model.onnx`` and ``NAME.npz``.
        quick: one epoch only.
        batch: rows that the export fixes; None leaves them open.
        case: another one than that of the name.

    Returns:
        The samples.
    """
    case = case or CASES[name]
    data = case.data()
    network = train(case, data, min(1, case.epochs) if quick else case.epochs)
    path = folder / "models" / name / "model.onnx"
    path.parent.mkdir(parents=True)
    export(network, torch.from_numpy(data.test[: batch or 1]), path, fixed=batch is not None)
    samples = folder / f"{name}.npz"
    np.savez(samples, x=data.test, labels=data.test_labels)
    return samples


def train(case: Case, data: Data, epochs: int) -> nn.Module:
    """Train with Adam on one thread; the same seed gives the same network."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = case.build()
    optimiser = torch.optim.Adam(network.parameters(), lr=case.rate)
    loss: nn.Module = nn.L1Loss() if data.train_labels.dtype.kind == "f" else nn.CrossEntropyLoss()
    rows, labels = torch.from_numpy(data.train), torch.from_numpy(data.train_labels)
    for _ in range(epochs):
        for chosen in torch.randperm(len(rows)).split(_BATCH):
            optimiser.zero_grad()
            loss(network(rows[chosen]), labels[chosen]).backward()
            optimiser.step()
    return network.eval()


def export(network: nn.Module, example: torch.Tensor, path: Path, *, fixed: bool) -> None:
    """Write ONNX, the input `x` and the output `scores`."""
    torch.backends.mha.set_fastpath_enabled(False)
    axes = {} if fixed else {"x": {0: "batch"}, "scores": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(path),
            input_names=["x"],
            output_names=["scores"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
