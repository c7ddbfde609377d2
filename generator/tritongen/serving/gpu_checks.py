"""What `doctor` says of GPUs: driver, MIG, the container toolkit, and CUDA against the image."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tritongen.model.counting import counted
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.releases import older
from tritongen.system.gpus import GpuReading

if TYPE_CHECKING:
    from tritongen.serving.docker.images import ImageFacts

# Name of a check, and what it found; what is fine only informs.
NamedFinding = tuple[str, Finding]

# Cards for which NVIDIA's images bring libraries that serve a newer CUDA with an older driver.
_DATA_CENTRE = re.compile(r"\b(?:[ABHLPTV]|G[BH])\d{1,3}[A-Z]?\b")
_DRIVER_HOW = (
    "Install it (Ubuntu: `sudo ubuntu-drivers install --gpgpu`; Debian: `sudo apt-get install "
    "nvidia-driver` from non-free), and start the machine anew."
)
_TOOLKIT_DOCS = "docs.nvidia.com/datacenter/cloud-native/container-toolkit"
_CONFIGURE = "`sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker`"


def machine_findings(reading: GpuReading, wanted: int) -> Iterator[NamedFinding]:
    """How many GPUs there are, and what the machine says of them where it has any.

    Args:
        reading: of the machine.
        wanted: GPUs that the plan asks for; without any, what is missing only informs.
    """
    asked = f"{wanted} asked for" if wanted else "none is asked for"
    short = reading.nodes < wanted
    message = f"{wanted} GPUs are asked for, {reading.nodes} are here"
    message = message if short else f"{reading.nodes} here, {asked}"
    yield "gpus", finding("TG826", Severity.ERROR if short else Severity.INFO, message)
    if not (reading.cards or reading.nodes or reading.gpus):
        return
    worst = Severity.ERROR if wanted else Severity.INFO
    yield "gpu.driver", _driver(reading, worst)
    if any(gpu.mig for gpu in reading.gpus):
        yield "gpu.mig", _mig(reading, wanted, worst)


def _driver(reading: GpuReading, worst: Severity) -> Finding:
    cards = counted(reading.cards, "NVIDIA card")
    if "version mismatch" in reading.error:
        message = "the loaded driver and its library have different versions, after an update"
        return finding("TG855", worst, message, fix="Start the machine anew.")
    if not (reading.driver or reading.nodes):
        message = f"{cards} on the bus, and no driver is loaded"
        message += f": {reading.error}" if reading.error else ""
        return finding("TG855", worst, message, fix=_DRIVER_HOW)
    if reading.error:
        message = f"driver {reading.driver} is loaded and does not answer: {reading.error}"
        return finding("TG855", worst, message, fix="See `dmesg | grep -i nvrm`.")
    serves = f", CUDA up to {reading.cuda}" if reading.cuda else ""
    seen = "; ".join(f"{gpu.index} {gpu.name}, {gpu.memory_mib} MiB" for gpu in reading.gpus)
    version = reading.driver or "of unknown version"
    message = f"{version}{serves}: {seen or f'{reading.nodes} devices, and no nvidia-smi'}"
    return finding("TG855", Severity.INFO, message)


def _mig(reading: GpuReading, wanted: int, worst: Severity) -> Finding:
    """Of a card in MIG mode a process sees one instance, and without one nothing of it."""
    cards = ", ".join(str(gpu.index) for gpu in reading.gpus if gpu.mig)
    if not reading.slices:
        message = f"MIG is on for GPU {cards}, and no instance is made: nothing can use it"
        fix = (
            "List the profiles with `nvidia-smi mig -lgip` and make one: `sudo nvidia-smi mig -cgi "
            "PROFILE -C`; or switch it off: `sudo nvidia-smi -mig 0`."
        )
        return finding("TG858", worst, message, fix=fix)
    listed = ", ".join(reading.slices)
    message = f"MIG on GPU {cards}: {listed}; a server sees one, without Triton's GPU metrics"
    if wanted > 1:
        fix = "Set target.gpus: 1, and start a server for each instance."
        message = f"{message}, and {wanted} GPUs are asked for"
        return finding("TG858", Severity.ERROR, message, fix=fix)
    return finding("TG858", Severity.INFO, message)


def engine_findings(reading: GpuReading, wanted: int, *, given: bool) -> Iterator[NamedFinding]:
    """Whether containers can be given the machine's GPUs.

    Args:
        reading: of the machine, which is the engine's.
        wanted: GPUs that the plan asks for.
        given: whether the engine knows of NVIDIA's runtime.
    """
    if not (reading.nodes or reading.gpus):
        return
    if given:
        yield "gpu.toolkit", finding("TG856", Severity.INFO, "containers can be given GPUs")
        return
    severity = Severity.ERROR if wanted else Severity.INFO
    if reading.toolkit:
        message = "the container toolkit is installed, and the engine does not know of it"
        yield "gpu.toolkit", finding("TG856", severity, message, fix=f"Run {_CONFIGURE}.")
        return
    message = "the NVIDIA Container Toolkit is not installed: containers get no GPU"
    fix = (
        f"Add its repository ({_TOOLKIT_DOCS}), install nvidia-container-toolkit, run {_CONFIGURE}."
    )
    yield "gpu.toolkit", finding("TG856", severity, message, fix=fix)


def image_findings(reading: GpuReading, wanted: int, held: "ImageFacts") -> Iterator[NamedFinding]:
    """The driver against the image.

    Args:
        reading: of the machine.
        wanted: GPUs that the plan asks for.
        held: what the image says of itself.
    """
    cuda, driver = held.cuda, held.driver
    if not (wanted and cuda and reading.driver):
        return
    image = f"the image's CUDA {_short(cuda)}"
    needed = f"driver {driver} or later" if driver else f"a driver for CUDA {_short(cuda)}"
    serves = f" (CUDA up to {reading.cuda})" if reading.cuda else ""
    here = f"driver {reading.driver}{serves}"
    enough = driver and not older(reading.driver, driver)
    if enough or (reading.cuda and not older(reading.cuda, _short(cuda))):
        yield "gpu.cuda", finding("TG857", Severity.INFO, f"{here} serves {image}")
    elif reading.cuda.partition(".")[0] == cuda.partition(".")[0]:
        message = f"{here} is older than {image}, and serves it as a CUDA of the same major version"
        yield "gpu.cuda", finding("TG857", Severity.INFO, message)
    else:
        fix = f"Install {needed}, or set target.triton to a release with an older CUDA."
        message = f"{here} is too old for {image}"
        severity = Severity.ERROR
        if reading.gpus and all(_DATA_CENTRE.search(gpu.name) for gpu in reading.gpus):
            severity = Severity.WARNING
            message += "; on these cards the image's own compatibility libraries may stand in"
        yield "gpu.cuda", finding("TG857", severity, message, fix=fix)


def _short(version: str) -> str:
    """The first two numbers: 13.0 of 13.0.1.012."""
    return ".".join(version.split(".")[:2])
