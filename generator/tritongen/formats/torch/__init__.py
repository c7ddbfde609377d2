"""PyTorch's files, read without PyTorch: TorchScript, AOT Inductor packages, pickled weights."""

from tritongen.formats.torch.aoti import read_aoti
from tritongen.formats.torch.archive import read_torch_pickle
from tritongen.formats.torch.torchscript import read_torchscript

__all__ = ["read_aoti", "read_torch_pickle", "read_torchscript"]
