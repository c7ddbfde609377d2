"""`tritongen.lock`: the evidence and what was written, committed with the repository.

A lock may be a stranger's. A variable such as LD_AUDIT runs code, a flag opens what is closed, and
nobody can name all that do; so whatever `build` would not have written is refused.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import PurePath, PurePosixPath

from tritongen.errors import InvalidInputError
from tritongen.model.codec import decode_text, shallow, text_of
from tritongen.model.cores import CpuReading
from tritongen.model.evidence import Evidence, ModelEvidence
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.merge_marks import CODE, merge_marks, rebuild
from tritongen.model.target_gpu import TargetGpu

# Thread pools of the libraries behind models in Python, in the order in which they are obeyed.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
TELEMETRY = "ORT_DISABLE_TELEMETRY"
LIMITER, LIMITER_RESOURCE, CACHE = "rate-limit", "rate-limit-resource", "cache-config"

CACHE_BYTES = 64 << 20
# Of the server's process on each card: the CUDA context, of which 300 MB were seen, libraries and
# Triton's pool of 64 MiB.
CONTEXT_BYTES = 512 << 20
# Steps of /dev/shm that are asked for.
_SHARED_MEMORY_STEP = 64 << 20

_NUMBER = "[1-9][0-9]{0,14}"
_VARIABLES: Mapping[str, str] = {**dict.fromkeys(THREADS, _NUMBER), TELEMETRY: "1"}
_FLAGS: Mapping[str, str] = {
    LIMITER: "execution_count",
    LIMITER_RESOURCE: f"cpu:{_NUMBER}",
    CACHE: f"local,size={_NUMBER}",
}

LOCK_FILE = "tritongen.lock"
SCHEMA_VERSION = 1


def is_rate_limited(flags: Iterable[tuple[str, object]]) -> bool:
    """Whether flags turn the rate limiter on, which holds executions to the cores.

    Args:
        flags: (flag without dashes, value).
    """
    return any(flag == LIMITER for flag, _ in flags)


def environment_threads(held: Sequence[int], planned: Iterable[int]) -> int:
    """The threads that environment variables state.

    Args:
        held: threads of each model that nothing but variables limits; they must hold it to these.
        planned: threads of every model.
    """
    return min(held) if held else max(planned, default=1)


def in_steps(total: int) -> int:
    """The shared memory that is asked for where tensors need `total` bytes: one step at least."""
    return max(1, math.ceil(total / _SHARED_MEMORY_STEP)) * _SHARED_MEMORY_STEP


def refused_settings(
    environment: Mapping[str, str], flags: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """Each variable and flag that `build` does not write, in words.

    Args:
        environment: variables by name.
        flags: (flag without dashes, value).
    """
    for name, value in environment.items():
        if not re.fullmatch(_VARIABLES.get(name, "(?!)"), value):
            yield f"variable {name}={value}"
    for flag, value in flags:
        if not re.fullmatch(_FLAGS.get(flag, "(?!)"), value):
            yield f"flag --{flag}={value}"


@dataclass(frozen=True, slots=True)
class LockedTarget:
    """The target that was planned for.

    Attributes:
        triton: release, ``YY.MM``.
        cores: the CPU budget, whole cores.
        machine: what the building machine said, None when tritongen.yaml states the cores.
        memory_bytes: None when not stated.
        gpus: number of GPUs.
        gpu: what each of them is, None where nothing was said of it.
    """

    triton: str
    cores: int
    machine: CpuReading | None = None
    memory_bytes: int | None = None
    gpus: int = 0
    gpu: TargetGpu | None = None


@dataclass(frozen=True, slots=True)
class LockedServer:
    """How the server is started.

    Attributes:
        environment: variables by name.
        flags: (flag without dashes, value).
        shared_memory_bytes: room that the tensors of these configurations take between Triton and
            Python-based backends; None where it is to be found out.
        gpu_bytes: that the models take on each GPU; empty where that is not known.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[tuple[str, str], ...] = ()
    shared_memory_bytes: int | None = None
    gpu_bytes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LockedModel:
    """One model of the repository.

    Attributes:
        source: main file, relative to the models folder.
        format: of the model.
        backend: that serves it.
        threads: threads an instance uses at most.
        instances: instance count.
        evidence: what was observed, with the hashes that it holds for.
        facts: what inspection said of its files, for those who do not have them; None in older
            locks.
    """

    source: str
    format: ModelFormat
    backend: str
    threads: int
    instances: int
    evidence: ModelEvidence
    facts: ModelFacts | None = None


@dataclass(frozen=True, slots=True)
class ServerShare:
    """What of the server's settings is due to one model or pipeline.

    Attributes:
        held: only environment variables limit its threads.
        limited: the rate limiter holds its executions to the cores.
        cached: it asks for the response cache.
        room_bytes: of its tensors in shared memory; None where it is to be found out.
        gpu_bytes: that it takes on each GPU; empty where that is not known.
    """

    held: bool = False
    limited: bool = False
    cached: bool = False
    room_bytes: int | None = None
    gpu_bytes: tuple[int, ...] = ()


def server_of(
    cores: int, models: Mapping[str, LockedModel], shares: Mapping[str, ServerShare]
) -> LockedServer:
    """How a server is started that serves these models and pipelines together.

    Args:
        cores: of the target.
        models: by name.
        shares: of every model and pipeline, by name.
    """
    held = [models[name].threads for name, share in shares.items() if share.held and name in models]
    threads = environment_threads(held, (model.threads for model in models.values()))
    flags = []
    if any(share.limited for share in shares.values()):
        flags += [(LIMITER, "execution_count"), (LIMITER_RESOURCE, f"cpu:{cores}")]
    if any(share.cached for share in shares.values()):
        flags.append((CACHE, f"local,size={CACHE_BYTES}"))
    rooms = [share.room_bytes for share in shares.values()]
    known = [room for room in rooms if room is not None]
    return LockedServer(
        # By name, as a file has them: deployment files follow this order.
        environment={**dict.fromkeys(sorted(THREADS), str(threads)), TELEMETRY: "1"},
        flags=tuple(flags),
        shared_memory_bytes=in_steps(sum(known)) if len(known) == len(rooms) else None,
        gpu_bytes=bytes_by_card(share.gpu_bytes for share in shares.values()),
    )


def bytes_by_card(models: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """What the server takes on each GPU; empty where that is not known of any model.

    Args:
        models: what each takes on each GPU.
    """
    known = [taken for taken in models if taken]
    return tuple(CONTEXT_BYTES + sum(card) for card in zip(*known, strict=False))


@dataclass(frozen=True, slots=True)
class Lock:
    """The whole lock.

    Attributes:
        tool: name and version of the writer.
        target: that was planned for.
        server: how to start it.
        models: by name.
        written: sha256 of every text file that was written, by path relative to the repository.
        refused: evidence of models that were tried and are not served, by name.
        shares: of the server's settings, by model and pipeline; none in older locks.
    """

    tool: str
    target: LockedTarget
    server: LockedServer = field(default_factory=LockedServer)
    models: Mapping[str, LockedModel] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, ModelEvidence] = field(default_factory=dict)
    shares: Mapping[str, ServerShare] = field(default_factory=dict)

    @property
    def folders(self) -> frozenset[str]:
        """Names of the models and pipelines whose configurations were written."""
        return frozenset(path.partition("/")[0] for path in self.written)

    @property
    def weights(self) -> dict[str, str]:
        """Digests of the models' files, by path relative to the repository."""
        return {
            f"{name}/{relative}": sha
            for name, model in self.models.items()
            for relative, sha in model.evidence.files
        }

    @property
    def in_parts(self) -> bool:
        """Whether it can be kept in one file a model: older locks do not say whose a setting is."""
        return self.folders | self.models.keys() == self.shares.keys()

    def as_older(self) -> "tuple[Lock, ...]":
        """The same as older tools wrote it: in one file, and before that without facts."""
        models = {name: replace(model, facts=None) for name, model in self.models.items()}
        whole = replace(self, shares={})
        return whole, replace(whole, models=models)

    @property
    def evidence(self) -> Evidence:
        """The evidence of every model, served or not."""
        served = {name: model.evidence for name, model in self.models.items()}
        return Evidence({**self.refused, **served})


def lock_text(lock: Lock) -> str:
    """The JSON text of a lock in one file: sorted keys, one value a line."""
    document = {"schema_version": SCHEMA_VERSION, **shallow(lock)}
    return text_of(document, indent=1) + "\n"


def parse_lock(text: str, where: str) -> Lock:
    """Read a lock in one file.

    Raises:
        InvalidInputError: TG704 for anything that is not a lock of this schema version; TG710 for
            one that git could not merge.
    """
    refuse_merge(text, where, PurePosixPath(where).parent)
    try:
        lock = decode_text(Lock, text, "lock", SCHEMA_VERSION)
    except ValueError as problem:
        raise InvalidInputError("TG704", str(problem), where=where) from problem
    refuse_faults(lock, where)
    return lock


def refuse_merge(text: str, where: str, restored: PurePath | str) -> None:
    """Stop at a file that git could not merge.

    Args:
        text: of the file.
        where: it lies.
        restored: file or folder of which one side is to be taken.

    Raises:
        InvalidInputError: TG710.
    """
    if conflict := merge_marks(text):
        raise InvalidInputError(CODE, conflict, where=where, fix=rebuild(restored))


def refuse_faults(lock: Lock, where: str) -> None:
    """Stop at what no build writes: a lock may be a stranger's.

    Raises:
        InvalidInputError: TG704.
    """
    for what in _faults(lock):
        raise InvalidInputError("TG704", what, where=where)


def _faults(lock: Lock) -> Iterator[str]:
    for setting in refused_settings(lock.server.environment, lock.server.flags):
        yield f"gives the server what no build writes: {setting}"
    for path in chain(lock.written, lock.weights):
        if "\0" in path or {"", ".", ".."} & set(path.split("/")):
            yield f"names {path!r}, which leaves the repository"
