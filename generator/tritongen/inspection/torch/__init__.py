"""PyTorch's files, read without PyTorch: TorchScript, AOT Inductor packages, pickled weights."""

from tritongen.inspection.torch.aoti import read_aoti
from tritongen.inspection.torch.pickled import read_torch_pickle
from tritongen.inspection.torch.torchscript import read_torchscript

__all__ = ["read_aoti", "read_torch_pickle", "read_torchscript"]
