"""Facts of a TorchScript archive and a SavedModel of 1 GB each: time and memory.

Each reader runs in a process of its own; torch.jit.load stands beside the reader of TorchScript.

    .venv/bin/python benchmarks/inspect_formats.py [folder for the files]
    .venv/bin/python benchmarks/inspect_formats.py --quick      one run of each
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from bench_process import Ran, apart, interleaved, measured, table

SIZE = 1 << 30
REPEATS = 3

# A real archive of a small module with large weights, written by a process of its own: a child
# starts with its parent's peak of memory.
WRITE = f"""
import sys
import torch


class Wide(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(16, {SIZE // 64}))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


torch.jit.trace(Wide(), torch.zeros(1, 16)).save(sys.argv[1])
"""

TRITONGEN = """
import sys
from pathlib import Path
from time import perf_counter
from tritongen.model.releases import find
from tritongen.formats import inspect_folder
start = perf_counter()
(facts,) = inspect_folder(Path(sys.argv[1]), find("25.02")).models
assert facts.outputs, facts.findings
print(facts.weight_bytes, perf_counter() - start)
"""

TORCH_LOAD = """
import sys
from pathlib import Path
from time import perf_counter
import torch
start = perf_counter()
module = torch.jit.load(str(Path(sys.argv[1]) / "big.pt"))
size = sum(item.numel() * item.element_size() for item in module.state_dict().values())
print(size, perf_counter() - start)
"""


def saved_model(folder: Path) -> None:
    """A signature and 1 GB of variables."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from support.format_models import saved_model as write
    from support.format_models import tensor_info

    write(folder, {"x": tensor_info(1, [-1, 4])}, {"y": tensor_info(1, [-1, 2])}, variables=SIZE)


def row(name: str, runs: list[Ran]) -> tuple[str, ...]:
    """Least seconds of the call and of its process, and the greatest peak."""
    call = min(float(run.output.split()[1]) for run in runs)
    process = min(run.seconds for run in runs)
    return name, f"{call:.3f}", f"{process:.3f}", f"{max(run.peak for run in runs) / 1e6:.0f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="for the files")
    parser.add_argument("--quick", action="store_true", help="one run of each")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        archives, models = Path(name, "torch"), Path(name, "tensorflow")
        archives.mkdir()
        subprocess.run([sys.executable, "-c", WRITE, str(archives / "big.pt")], check=True)
        apart(lambda: saved_model(models / "big"))
        programs = {
            "TorchScript, tritongen": (TRITONGEN, archives),
            "TorchScript, torch.jit.load": (TORCH_LOAD, archives),
            "SavedModel, tritongen": (TRITONGEN, models),
        }
        calls = [
            lambda text=text, place=place: measured((sys.executable, "-c", text, place))
            for text, place in programs.values()
        ]
        found = interleaved(calls, 1 if options.quick else REPEATS)
        with zipfile.ZipFile(archives / "big.pt") as archive:
            print(f"{sum(item.file_size for item in archive.infolist()):,} bytes each.\n")
    headers = ("", "call [s]", "process [s]", "peak [MB]")
    print(table(headers, [row(*pair) for pair in zip(programs, found, strict=True)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
