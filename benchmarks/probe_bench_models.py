"""What the probe's benchmark serves: models of known cost, and the demo's, on an embedded Triton.

Every model has one instance on one thread; no client needs more than its shape to load it.
"""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRITONGEN = Path(sys.executable).with_name("tritongen")
# Nothing is answered for so long, once in every period; see `STALLING`.
STALL_S, STALL_EVERY_S = 0.5, 5.0

ECHO = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(r, "IN").as_numpy())]
            )
            for r in requests
        ]
"""
STALLING = f"""
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        phase = time.monotonic() % {STALL_EVERY_S}
        if phase < {STALL_S}:
            time.sleep({STALL_S} - phase)
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(r, "IN").as_numpy())]
            )
            for r in requests
        ]
"""
PYTHON_CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 8
input [{{ name: "IN" data_type: TYPE_FP32 dims: [{dims}] }}]
output [{{ name: "OUT" data_type: TYPE_FP32 dims: [{dims}] }}]
instance_group [{{ count: 1 kind: KIND_CPU }}]
"""
ONNX_CONFIG = """
name: "{name}"
backend: "onnxruntime"
max_batch_size: 8
instance_group [{{ count: 1 kind: KIND_CPU }}]
dynamic_batching {{ }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
"""


@dataclass(frozen=True)
class Model:
    """A model as the clients need to know it.

    Attributes:
        name: its name.
        what: for the tables.
        inputs: names of its inputs; both clients send zeros.
        shapes: of inputs with dynamic axes.
        large: requests of half a megabyte and more, at which perf_analyzer's threads block.
    """

    name: str
    what: str
    inputs: tuple[str, ...] = ("IN",)
    shapes: tuple[tuple[str, str], ...] = ()
    large: bool = False


TINY = Model("tiny", "identity in Python, FP32[16]")
IMAGE = Model("image", "identity in Python, FP32[3,224,224]", large=True)
STALLED = Model("stalled", f"silent for {STALL_S * 1e3:.0f} ms in every {STALL_EVERY_S:.0f} s")
DIGITS = Model("digits", "scikit-learn MLP, FP32[64]", ("X",))
TREES = Model("breast_cancer", "random forest, FP32[30]", ("X",))
MAGIKA = Model("magika", "file classifier, INT32[2048]", ("bytes",))
PAGES = Model("orientation", "CNN, FP32[3,224,224]", ("x",), (("x", "3,224,224"),))
DEMO = (DIGITS, TREES, MAGIKA, PAGES)


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        http: host and port.
        grpc: host and port.
        version: of Triton.
    """

    http: str
    grpc: str
    version: str

    def count(self, model: str) -> int:
        """Rows that a model has answered since it was loaded, by the server's own count."""
        with urllib.request.urlopen(f"http://{self.http}/v2/models/{model}/stats") as answer:
            found = json.load(answer)["model_stats"][0]
        return int(found["inference_count"])


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """All models on an embedded Triton, stopped when the block ends."""
    repository = folder / "repository"
    _write_python(repository, "tiny", "16", ECHO)
    _write_python(repository, "image", "3, 224, 224", ECHO)
    _write_python(repository, "stalled", "16", STALLING)
    subprocess.run([sys.executable, ROOT / "demo/fetch.py"], check=True, stdout=subprocess.DEVNULL)
    for model in DEMO:
        version = repository / model.name / "1"
        version.mkdir(parents=True)
        shutil.copy(ROOT / "demo/models" / model.name / "model.onnx", version)
        (version.parent / "config.pbtxt").write_text(ONNX_CONFIG.format(name=model.name))
    ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    command = (TRITONGEN, "up", repository, "--runtime", "embedded", *ports, "--format", "json")
    up = subprocess.run(command, cwd=folder, check=False, stdout=subprocess.PIPE, text=True)
    try:
        if up.returncode:
            raise SystemExit(up.stdout)
        ends = json.loads(up.stdout)["endpoints"]
        with urllib.request.urlopen(f"http://{ends['http']}/v2") as answer:
            version = json.load(answer)["version"]
        yield Served(ends["http"], ends["grpc"], version)
    finally:
        subprocess.run((TRITONGEN, "down"), cwd=folder, check=False, stdout=subprocess.DEVNULL)


def _write_python(repository: Path, name: str, dims: str, code: str) -> None:
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(code)
    (version.parent / "config.pbtxt").write_text(PYTHON_CONFIG.format(name=name, dims=dims))
