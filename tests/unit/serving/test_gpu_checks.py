"""What `doctor` says of GPUs, from outputs as `nvidia-smi` and the kernel give them."""

from pathlib import Path

import pytest

from tritongen.model.findings import Severity
from tritongen.serving import gpu_checks
from tritongen.serving.docker.images import ImageFacts
from tritongen.system import gpus
from tritongen.system.gpus import Gpu, GpuReading, parse_query, read_gpus

HEADER = """\
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 550.54.15              Driver Version: 550.54.15      CUDA Version: 12.4     |
|-----------------------------------------+------------------------+----------------------+
"""
T4 = "0, Tesla T4, 550.54.15, 15360, [N/A]\n"
A100 = "0, NVIDIA A100-SXM4-40GB, 550.54.15, 40960, Enabled\n"
SLICES = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f)
  MIG 3g.20gb     Device  0: (UUID: MIG-7d6c9c1e-0a5a-5d3c-9d9c-6a3f4a4b6c01)
  MIG 2g.10gb     Device  1: (UUID: MIG-f0a3b1d2-5a76-5a55-8f3b-2b4a8c8d7e02)
"""
WHOLE = "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f)\n"
KERNEL = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
    "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
)
OPEN_KERNEL = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"
LOST = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that "
    "the latest NVIDIA driver is installed and running.\n"
)
MISMATCH = (
    "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 555.4\n"
)


def machine(root: Path, *, cards=1, nodes=1, kernel=KERNEL) -> Path:
    """A machine's files as its kernel shows them."""
    for number in range(cards):
        device = root / f"sys/bus/pci/devices/0000:00:{number:02}.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text("0x10de\n")
        (device / "class").write_text("0x030200\n")
    (root / "dev").mkdir()
    for number in range(nodes):
        (root / f"dev/nvidia{number}").touch()
    if kernel:
        (root / "proc/driver/nvidia").mkdir(parents=True)
        (root / "proc/driver/nvidia/version").write_text(kernel)
    return root


def smi(query, listed=WHOLE, status=0):
    """Answers as `nvidia-smi` does."""

    def ask(words):
        if words == ("nvidia-smi",):
            return 0, HEADER
        return (0, listed) if words[-1] == "-L" else (status, query)

    return ask


def nothing(_words):
    """A machine without `nvidia-smi`."""
    return


def test_the_cards_of_a_machine_with_a_driver(tmp_path):
    reading = read_gpus(machine(tmp_path), smi(T4))
    assert (reading.driver, reading.cuda, reading.gpus) == (
        "550.54.15", "12.4", (Gpu(0, "Tesla T4", 15360),)
    )  # fmt: skip
    ((_, count), (name, driver)) = gpu_checks.machine_findings(reading, 1)
    assert (count.message, name) == ("1 here, 1 asked for", "gpu.driver")
    assert driver.message == "550.54.15, CUDA up to 12.4: 0 Tesla T4, 15360 MiB"


@pytest.mark.parametrize(
    ("text", "version"), [(KERNEL, "550.54.15"), (OPEN_KERNEL, "570.86.15"), ("", "")]
)
def test_the_kernel_tells_the_driver_where_its_tool_is_missing(tmp_path, text, version):
    reading = read_gpus(machine(tmp_path, kernel=text), nothing)
    assert (reading.driver, reading.gpus) == (version, ())


def test_lines_of_another_form_are_left_out():
    assert parse_query("No devices were found\n\n0, a, b\n") == ((), "")


@pytest.mark.parametrize(
    ("files", "ask", "words", "fix"),
    [
        ({"nodes": 0, "kernel": ""}, nothing, "1 NVIDIA card on the bus, and no", "ubuntu-drivers"),
        (
            {"nodes": 0, "kernel": "", "cards": 2},
            smi(LOST, status=9),
            "2 NVIDIA cards on the bus",
            "ubuntu-drivers",
        ),
        ({}, smi(MISMATCH, status=18), "different versions, after an", "Start the machine anew."),
        ({}, smi("No devices were found", status=6), "answer: No devices were found", "dmesg"),
    ],
)
def test_a_driver_that_is_missing_or_broken(tmp_path, files, ask, words, fix):
    reading = read_gpus(machine(tmp_path, **files), ask)
    for wanted, severity in ((1, Severity.ERROR), (0, Severity.INFO)):
        named = dict(gpu_checks.machine_findings(reading, wanted))
        assert named["gpu.driver"].code == "TG855"
        assert words in named["gpu.driver"].message
        assert fix in named["gpu.driver"].fix
        assert named["gpu.driver"].severity is severity


def test_a_machine_without_cards_is_told_in_one_line(tmp_path):
    reading = read_gpus(machine(tmp_path, cards=0, nodes=0, kernel=""), nothing)
    (named,) = gpu_checks.machine_findings(reading, 0)
    assert (named[0], named[1].message) == ("gpus", "0 here, none is asked for")


@pytest.mark.parametrize(
    ("listed", "wanted", "severity", "words"),
    [
        (WHOLE, 1, Severity.ERROR, "MIG is on for GPU 0, and no instance is made"),
        (WHOLE, 0, Severity.INFO, "no instance is made"),
        (SLICES, 1, Severity.INFO, "MIG on GPU 0: 3g.20gb, 2g.10gb; a server sees one"),
        (SLICES, 2, Severity.ERROR, "2 GPUs are asked for"),
    ],
)
def test_mig(tmp_path, listed, wanted, severity, words):
    reading = read_gpus(machine(tmp_path), smi(A100, listed))
    found = dict(gpu_checks.machine_findings(reading, wanted))["gpu.mig"]
    assert (found.code, found.severity) == ("TG858", severity)
    assert words in found.message


@pytest.mark.parametrize(
    ("given", "toolkit", "wanted", "severity", "words"),
    [
        (True, True, 1, Severity.INFO, "containers can be given GPUs"),
        (False, True, 1, Severity.ERROR, "the engine does not know of it"),
        (False, False, 1, Severity.ERROR, "Toolkit is not installed"),
        (False, False, 0, Severity.INFO, "Toolkit is not installed"),
    ],
)
def test_the_container_toolkit(given, toolkit, wanted, severity, words):
    reading = GpuReading(cards=1, nodes=1, driver="550.54.15", toolkit=toolkit)
    ((name, found),) = gpu_checks.engine_findings(reading, wanted, given=given)
    assert (name, found.severity) == ("gpu.toolkit", severity)
    assert words in found.message
    assert given or "nvidia-ctk runtime configure --runtime=docker" in found.fix


@pytest.mark.parametrize(
    ("card", "held", "severity", "words"),
    [
        ("Tesla T4", ("12.4.1.003", "550.54.15"), Severity.INFO, "serves the image's CUDA 12.4"),
        ("Tesla T4", ("12.9.1.010", "575.57.08"), Severity.INFO, "of the same major version"),
        ("NVIDIA L4", ("13.0.1.012", "580.82.07"), Severity.WARNING, "compatibility libraries"),
        ("NVIDIA A100-SXM4-40GB", ("13.0.1.012", ""), Severity.WARNING, "compatibility"),
        ("NVIDIA GeForce RTX 3090", ("13.0.1.012", "580.82.07"), Severity.ERROR, "too old"),
    ],
)
def test_the_driver_against_the_image(card, held, severity, words):
    reading = GpuReading(1, 1, "550.54.15", "12.4", (Gpu(0, card, 24576),))
    image = ImageFacts("amd64", cuda=held[0], driver=held[1])
    ((name, found),) = gpu_checks.image_findings(reading, 1, image)
    assert (name, found.severity, found.code) == ("gpu.cuda", severity, "TG857")
    assert words in found.message


def test_an_image_that_does_not_say_is_not_judged():
    reading = GpuReading(1, 1, "550.54.15", "12.4")
    assert not list(gpu_checks.image_findings(reading, 1, ImageFacts("amd64")))


def test_this_machine_is_read_without_an_error():
    reading = gpus.read_gpus()
    assert reading.nodes == len(list(Path("/dev").glob("nvidia[0-9]*")))
