"""What stands in the way of a container, found without starting anything."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.gpu_cards import card_name
from tritongen.serving.docker.container_settings import MODELS, repository_mounts, shared_memory
from tritongen.serving.docker.docker_engine import DockerEngine, EngineFacts, speaking
from tritongen.serving.docker.images import ImageChoice, describe, image_for
from tritongen.serving.preflight import (
    flag_findings,
    network_findings,
    repository_findings,
    weakness_findings,
)
from tritongen.serving.protocol import ServerSpec
from tritongen.system.gpus import CardMemory, card_memory

if TYPE_CHECKING:
    from docker import DockerClient


_CORE_BACKENDS = frozenset({"", "ensemble"})
_SHOWN = 3


def findings(spec: ServerSpec, engine: DockerEngine) -> tuple[Finding, ...]:
    """Everything that `spec` meets on an engine; errors forbid the start.

    Raises:
        InvalidInputError: TG304, the image's name is none.
    """
    found = [*repository_findings(spec)]
    if not found:
        found += mount_findings(spec)
    found += network_findings(spec)
    try:
        facts = engine.facts()
        found += engine_findings(facts)
        found += resource_findings(spec, facts)
        found += image_findings(spec, engine)
    except EnvironmentProblem as problem:
        found.append(finding(problem.code, Severity.ERROR, str(problem), fix=problem.fix))
    return tuple(found)


def engine_findings(facts: EngineFacts) -> Iterator[Finding]:
    """What the engine cannot do, whatever it is asked for."""
    if not facts.local:
        message = "the engine's machine does not have this machine's model repository"
        yield finding("TG850", Severity.ERROR, message)
    for words in facts.missing:
        yield finding("TG848", Severity.WARNING, f"the engine cannot limit {words}")


def resource_findings(spec: ServerSpec, facts: EngineFacts) -> Iterator[Finding]:
    """CPUs, memory, shared memory and GPUs that the engine's machine does not have."""
    if spec.cores is not None and spec.cores > facts.cpus:
        message = f"planned for {spec.cores} cores, the engine's machine has {facts.cpus}"
        yield finding("TG316", Severity.WARNING, message)
    if missing := sorted(cpu for cpu in spec.cpuset if cpu >= facts.cpus):
        yield finding("TG316", Severity.ERROR, f"the engine's machine has no CPUs {missing}")
    if spec.memory_bytes and spec.memory_bytes > facts.memory_bytes:
        message = (
            f"planned for {spec.memory_bytes >> 20} MiB, the engine's machine has "
            f"{facts.memory_bytes >> 20} MiB"
        )
        yield finding("TG311", Severity.WARNING, message)
    wanted = spec.shared_memory_bytes or 0
    if wanted > (given := shared_memory(spec)):
        message = (
            f"shared memory of {wanted >> 20} MiB is needed, and {given >> 20} MiB is half of all"
        )
        yield finding("TG818", Severity.WARNING, message)
    if spec.gpus and not facts.gpus:
        message = f"{spec.gpus} GPUs are asked for, and the engine has none to give"
        fix = "Install the NVIDIA Container Toolkit on the engine's machine, or set target.gpus: 0."
        yield finding("TG826", Severity.ERROR, message, fix=fix)
    if spec.gpus and facts.local:
        yield from gpu_findings(spec, card_memory())


def gpu_findings(spec: ServerSpec, gpus: Sequence[CardMemory]) -> Iterator[Finding]:
    """Cards that are others than planned for, or have too little memory left.

    Args:
        spec: of the server.
        gpus: of this machine; none where the driver does not tell.
    """
    for number, (needed, gpu) in enumerate(zip(spec.gpu_bytes, gpus, strict=False)):
        if needed > gpu.free_bytes:
            message = (
                f"the models need {needed >> 20} MiB on GPU {number} ({gpu.name}), which has "
                f"{gpu.free_bytes >> 20} of {gpu.total_bytes >> 20} MiB left"
            )
            fix = "End what holds its memory, or state target.gpu with this card and build again."
            yield finding("TG160", Severity.ERROR, message, fix=fix)
        elif spec.gpu_name and card_name(gpu.name, gpu.total_bytes) != spec.gpu_name:
            message = f"planned for {spec.gpu_name}, GPU {number} is {gpu.name}"
            fix = "State target.gpu with this card, and build again."
            yield finding("TG160", Severity.WARNING, message, fix=fix)


def image_findings(spec: ServerSpec, engine: DockerEngine) -> Iterator[Finding]:
    """Whether the image is here or can be had, and whether it fits the plan.

    Raises:
        InvalidInputError: TG304, the image's name is none.
        EnvironmentProblem: TG840, TG852.
    """
    choice, facts = image_for(spec), engine.facts()
    reference = choice.reference
    image = describe(engine, reference)
    if image is None:
        yield from flag_findings(spec, _tagged_release(reference))
        yield from _pullable(engine.client(), choice)
        return
    yield from weakness_findings(spec, image.release or image.server)
    yield from flag_findings(spec, image.release or image.server)
    message = f"image {reference}: {choice.reason}; it is here and is not pulled over"
    yield finding("TG854", Severity.INFO, message)
    if image.architecture and facts.architecture and image.architecture != facts.architecture:
        message = f"{reference} is for {image.architecture}, the engine for {facts.architecture}"
        yield finding("TG851", Severity.WARNING, message)
    if not image.entry:
        message = f"{reference} does not say that it holds Triton"
        yield finding("TG849", Severity.WARNING, message)
    if image.backends is not None:
        for backend in sorted(set(spec.backends) - _CORE_BACKENDS - image.backends):
            held = ", ".join(sorted(image.backends))
            message = f"{reference} has no backend {backend!r}; it holds {held}"
            yield finding("TG843", Severity.ERROR, message)
    if image.release and spec.release and image.release != spec.release:
        message = f"planned for Triton {spec.release}, {reference} holds {image.release}"
        yield finding("TG844", Severity.WARNING, message)


def _tagged_release(reference: str) -> str:
    """The release in an image's tag, empty where it says none."""
    found = re.search(r":(\d\d\.\d\d)-", reference)
    return found[1] if found else ""


def _pullable(client: "DockerClient", choice: ImageChoice) -> Iterator[Finding]:
    """Asks the registry for the image's manifest, some kilobytes."""
    reference = choice.reference
    try:
        with speaking(reference):
            client.images.get_registry_data(reference)
    except EnvironmentProblem as problem:
        if problem.code in {"TG840", "TG841"}:
            raise
        message = f"{reference} is not here, and its registry says: {problem.what}"
        yield finding("TG842", Severity.ERROR, message)
    else:
        message = f"image {reference}: {choice.reason}; it is not here yet and will be pulled"
        yield finding("TG854", Severity.INFO, message)


def mount_findings(spec: ServerSpec) -> Iterator[Finding]:
    """Links and files of the repository that the container's user cannot follow or read."""
    mounts, bad = repository_mounts(spec.repository, MODELS)
    for link in bad:
        yield finding("TG846", Severity.ERROR, f"{link.path} {link.reason}", path=link.path)
    hidden = [path for mount in mounts for path in _hidden(Path(mount.source), spec.user)]
    if hidden:
        shown = ", ".join(str(path) for path in hidden[:_SHOWN])
        more = f" and {len(hidden) - _SHOWN} more" if len(hidden) > _SHOWN else ""
        yield finding(
            "TG847", Severity.ERROR, f"user {spec.user} cannot read {shown}{more}",
            path=str(spec.repository),
        )  # fmt: skip


def _hidden(root: Path, user: str) -> Iterator[Path]:
    """Files and folders below that `uid:gid` cannot read. What links lead to is mounted apart."""
    uid, _, gid = user.partition(":")
    if not uid.isdigit() or uid == "0":
        return
    numbers = int(uid), int(gid) if gid.isdigit() else int(uid)
    if not _readable(root, *numbers):
        yield root
    for place, folders, files in os.walk(root):
        for name in sorted((*folders, *files)):
            path = Path(place, name)
            if not path.is_symlink() and not _readable(path, *numbers):
                yield path


def _readable(path: Path, uid: int, gid: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else 0)
    if status.st_uid == uid:
        wanted <<= 6
    elif status.st_gid == gid:
        wanted <<= 3
    return status.st_mode & wanted == wanted
