"""Facts of a TorchScript archive and a SavedModel of 1 GB each: time and memory.

Each reader runs in a process of its own; torch.jit.load stands beside the reader of TorchScript.

    .venv/bin/python benchmarks/inspect_formats.py [folder for the files]
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from time import perf_counter

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
from tritongen.domain.releases import find
from tritongen.inspection import inspect_folder
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


def measure(program: str, folder: Path) -> tuple[float, float, float]:
    """Seconds of the call and of the process, and the peak of resident memory in MB."""
    read, write = os.pipe()
    start = perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", program, str(folder)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)],
    )
    os.close(write)
    with os.fdopen(read) as output:
        text = output.read()
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"the child failed with status {status}")
    return float(text.split()[1]), perf_counter() - start, usage.ru_maxrss / 1024


def show(name: str, program: str, folder: Path) -> None:
    runs = [measure(program, folder) for _ in range(REPEATS)]
    call, process, _ = min(runs)
    print(f"{name:<34}{call:>10.3f}{process:>13.3f}{max(run[2] for run in runs):>12.0f}")


def main() -> None:
    place = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        archives, models = Path(name, "torch"), Path(name, "tensorflow")
        archives.mkdir()
        subprocess.run([sys.executable, "-c", WRITE, str(archives / "big.pt")], check=True)
        saved_model(models / "big")
        with zipfile.ZipFile(archives / "big.pt") as archive:
            print(f"{sum(item.file_size for item in archive.infolist()):,} bytes of TorchScript")
        print(f"{'':<34}{'call [s]':>10}{'process [s]':>13}{'peak [MB]':>12}")
        show("TorchScript, tritongen", TRITONGEN, archives)
        show("TorchScript, torch.jit.load", TORCH_LOAD, archives)
        show("SavedModel, tritongen", TRITONGEN, models)


if __name__ == "__main__":
    main()
