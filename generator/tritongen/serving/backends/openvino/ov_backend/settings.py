"""Parameters of the backend, read as the C++ backend reads them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from python_backends.config import Json, RefusedError, instance_count, parameters

_HINTS = {"latency", "throughput", "cumulative_throughput"}


@dataclass(frozen=True, slots=True)
class OpenVinoSettings:
    """What a configuration asks of OpenVINO.

    Attributes:
        properties: of the device, by OpenVINO's keys.
        extension: a library with operators, empty for none.
        padding: whether short batches are filled with zeros.
        reshape: whether inputs take the configuration's dims.
    """

    properties: Mapping[str, object] = field(default_factory=dict)
    extension: str = ""
    padding: bool = False
    reshape: bool = False


def settings_of(config: Json) -> OpenVinoSettings:
    """Reads and checks the parameters.

    Raises:
        RefusedError: a value that the C++ backend refuses, in its words.
    """
    given = parameters(config)
    device = given.get("TARGET_DEVICE", "").upper() or "CPU"
    if device != "CPU":
        raise RefusedError(f"the Python-based openvino backend serves on CPU, not on {device}")
    count = instance_count(config)
    cores = len(os.sched_getaffinity(0))
    threads = _number(given, "INFERENCE_NUM_THREADS") or cores
    properties: dict[str, object] = {
        "INFERENCE_NUM_THREADS": max(1, threads // count),
        "NUM_STREAMS": 1,
    }
    compilation = _number(given, "COMPILATION_NUM_THREADS")
    if compilation is not None:
        properties["COMPILATION_NUM_THREADS"] = compilation
    if given.get("HINT_BF16"):
        if given["HINT_BF16"].lower() != "yes":
            raise _wrong("HINT_BF16", "YES", given)
        properties["INFERENCE_PRECISION_HINT"] = "bf16"
    _check_streams(given)
    if given.get("PERFORMANCE_HINT"):
        if given["PERFORMANCE_HINT"].lower() not in _HINTS:
            raise _wrong("PERFORMANCE_HINT", "LATENCY/THROUGHPUT/CUMULATIVE_THROUGHPUT", given)
        properties["PERFORMANCE_HINT"] = given["PERFORMANCE_HINT"].upper()
    return OpenVinoSettings(
        properties=properties,
        extension=given.get("CPU_EXTENSION_PATH", ""),
        padding=_yes(given, "ENABLE_BATCH_PADDING"),
        reshape=_yes(given, "RESHAPE_IO_LAYERS"),
    )


def _yes(given: Mapping[str, str], key: str) -> bool:
    return given.get(key, "").lower() == "yes"


def _number(given: Mapping[str, str], key: str) -> int | None:
    text = given.get(key, "")
    if not text:
        return None
    if not text.isdecimal():
        raise _wrong(key, "a non-negative number", given)
    return int(text)


def _check_streams(given: Mapping[str, str]) -> None:
    """Checked as always; each process has one stream whatever it says."""
    text = given.get("NUM_STREAMS", "").lower()
    if text and text not in {"auto", "numa"} and not text.isdecimal():
        raise _wrong("NUM_STREAMS", "either AUTO/NUMA/<int_value>", given)


def _wrong(key: str, expected: str, given: Mapping[str, str]) -> RefusedError:
    return RefusedError(
        f"expected the parameter '{key}' to be {expected}, got {given[key].lower()}"
    )
