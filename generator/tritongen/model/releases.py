"""Triton releases and what the runtime inside each image accepts.

The row of a release holds the greatest IR version and opsets that its ONNX Runtime loads.
"""

import re
from dataclasses import dataclass

from tritongen.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Release:
    """One monthly release of Triton.

    Attributes:
        tag: the image's ``YY.MM``.
        server: version of the server and of Triton's core.
        onnxruntime: version of the ONNX Runtime in the ``-py3`` image.
        openvino: version of OpenVINO in the ``-py3`` image.
        torch: version of the development build of PyTorch whose libtorch the ``-py3`` image has.
        onnx_ir: greatest ONNX IR version that this ONNX Runtime loads.
        onnx_opset: greatest opset of the default domain ``ai.onnx``.
        onnx_ml_opset: greatest opset of the domain ``ai.onnx.ml``.
        assumed: the runtimes are those of the last release for which they are known.
    """

    tag: str
    server: str
    onnxruntime: str
    openvino: str
    torch: str
    onnx_ir: int
    onnx_opset: int
    onnx_ml_opset: int
    assumed: bool = False


# Measured: for every ONNX Runtime below, the CPU wheel loaded one-operator models with rising IR
# version, rising opset of ai.onnx (Relu) and of ai.onnx.ml (Binarizer); the columns hold the last
# number before the first refusal. 1.17.2 has no wheel; 1.17.1 and 1.17.3 agree.
# The server's minor version is no function of the month: 25.07 is 2.59.1.
# Versions of ONNX Runtime and OpenVINO: the server's build.py at each release's branch. Unresolved:
# for 24.08 it has ONNX Runtime 1.19.0, and NVIDIA's compatibility matrix has 1.18.1, as here.
# Versions of PyTorch: NVIDIA's support matrix, from 26.04 on what the images report; 23.08 to 23.10
# lie between two known ones.
RELEASES: tuple[Release, ...] = (
    Release("23.08", "2.37.0", "1.15.1", "2023.0", "2.1", 9, 19, 3),
    Release("23.09", "2.38.0", "1.16.0", "2023.0", "2.1", 9, 19, 3),
    Release("23.10", "2.39.0", "1.16.0", "2023.0", "2.1", 9, 19, 3),
    Release("23.11", "2.40.0", "1.16.3", "2023.0", "2.2", 9, 19, 3),
    Release("23.12", "2.41.0", "1.16.3", "2023.0", "2.2", 9, 19, 3),
    Release("24.01", "2.42.0", "1.16.3", "2023.0", "2.2", 9, 19, 3),
    Release("24.02", "2.43.0", "1.16.3", "2023.3", "2.3", 9, 19, 3),
    Release("24.03", "2.44.0", "1.17.2", "2023.3", "2.3", 9, 20, 4),
    Release("24.04", "2.45.0", "1.17.3", "2023.3", "2.3", 9, 20, 4),
    Release("24.05", "2.46.0", "1.18.0", "2023.3", "2.4", 10, 21, 5),
    Release("24.06", "2.47.0", "1.18.0", "2024.0", "2.4", 10, 21, 5),
    Release("24.07", "2.48.0", "1.18.1", "2024.0", "2.4", 10, 21, 5),
    Release("24.08", "2.49.0", "1.18.1", "2024.0", "2.5", 10, 21, 5),
    Release("24.09", "2.50.0", "1.19.2", "2024.0", "2.5", 10, 21, 5),
    Release("24.10", "2.51.0", "1.19.2", "2024.4", "2.5", 10, 21, 5),
    Release("24.11", "2.52.0", "1.19.2", "2024.4", "2.6", 10, 21, 5),
    Release("24.12", "2.53.0", "1.20.1", "2024.5", "2.6", 10, 21, 5),
    Release("25.01", "2.54.0", "1.20.1", "2024.5", "2.6", 10, 21, 5),
    Release("25.02", "2.55.0", "1.20.1", "2025.0", "2.7", 10, 21, 5),
    Release("25.03", "2.56.0", "1.21.0", "2025.0", "2.7", 10, 22, 5),
    Release("25.04", "2.57.0", "1.21.0", "2025.0", "2.7", 10, 22, 5),
    Release("25.05", "2.58.0", "1.22.0", "2025.1", "2.8", 10, 22, 5),
    Release("25.06", "2.59.0", "1.22.0", "2025.1", "2.8", 10, 22, 5),
    Release("25.07", "2.59.1", "1.22.0", "2025.1", "2.8", 10, 22, 5),
    Release("25.08", "2.60.0", "1.23.0", "2025.2", "2.8", 11, 23, 5),
    Release("25.09", "2.61.0", "1.23.0", "2025.3", "2.9", 11, 23, 5),
    Release("25.10", "2.62.0", "1.23.1", "2025.3", "2.9", 11, 23, 5),
    Release("25.11", "2.63.0", "1.23.2", "2025.3", "2.10", 11, 23, 5),
    Release("25.12", "2.64.0", "1.23.2", "2025.4", "2.10", 11, 23, 5),
    Release("26.01", "2.65.0", "1.23.2", "2025.4.1", "2.10", 11, 23, 5),
    Release("26.02", "2.66.0", "1.24.1", "2025.4.1", "2.11", 13, 25, 5),
    Release("26.03", "2.67.0", "1.24.2", "2026.0", "2.11", 13, 25, 5),
    Release("26.04", "2.68.0", "1.24.4", "2026.1", "2.12", 13, 25, 5),
    Release("26.05", "2.69.0", "1.24.4", "2026.1", "2.12", 13, 25, 5),
    Release("26.06", "2.70.0", "1.24.4", "2026.2", "2.12", 13, 25, 5),
    Release("26.07", "2.71.0", "1.27.0", "2026.2", "2.13", 13, 26, 5),
    Release("26.08", "2.72.0", "1.28.0", "2026.3", "2.14", 13, 26, 5),
    Release("26.09", "2.73.0", "1.28.0", "2026.3", "2.14", 13, 26, 5, assumed=True),
    Release("26.10", "2.74.0", "1.28.0", "2026.3", "2.14", 13, 26, 5, assumed=True),
    Release("26.11", "2.75.0", "1.28.0", "2026.3", "2.14", 13, 26, 5, assumed=True),
)

# The newest release that a security bulletin of NVIDIA asks for: number 5875, 2026
# (github.com/NVIDIA/product-security). What is older has weaknesses that are public.
MENDED = "26.07"

_TAG = re.compile(r"[0-9]{2}\.(?:0[1-9]|1[0-2])")


def find(tag: str) -> Release:
    """The release of one tag.

    Args:
        tag: ``YY.MM``.

    Raises:
        InvalidInputError: TG304, the tag is not in the table; the message names its neighbours.
    """
    for release in RELEASES:
        if release.tag == tag:
            return release
    if not _TAG.fullmatch(tag):
        fix = f"Write it as YY.MM, such as {RELEASES[-1].tag}."
        raise InvalidInputError("TG304", f"{tag!r} is not a Triton release", fix=fix)
    older = [release.tag for release in RELEASES if _month(release.tag) < _month(tag)]
    newer = [release.tag for release in RELEASES if _month(release.tag) > _month(tag)]
    nearest = " or ".join((*older[-1:], *newer[:1]))
    what = f"Triton {tag} is not in the table of releases"
    raise InvalidInputError("TG304", what, fix=f"The nearest known release: {nearest}.")


def at_least(tag: str, minimum: str) -> bool:
    """Whether a release is not older than another; both are ``YY.MM``.

    Raises:
        InvalidInputError: TG304, one of them is not of that form.
    """
    return _month(tag) >= _month(minimum)


def older(version: str, other: str) -> bool:
    """Whether a library's version is older than another; both may have a name before them.

    As many numbers are compared as both have, three at most: 2.13 is as old as 2.13.1.
    """
    pairs = zip(re.findall(r"\d+", version)[:3], re.findall(r"\d+", other)[:3], strict=False)
    return next((int(one) < int(two) for one, two in pairs if int(one) != int(two)), False)


def _month(tag: str) -> int:
    """Months since 2000; ``00.00`` stands before every release."""
    year, _, month = tag.partition(".")
    if not (year.isascii() and year.isdigit() and month.isascii() and month.isdigit()):
        raise InvalidInputError(
            "TG304", f"{tag!r} is not a Triton release", fix="Write it as YY.MM."
        )
    return int(year) * 12 + int(month)
