"""`tritongen.lock`: the evidence and what was written, committed with the repository.

A lock may be a stranger's. A variable such as LD_AUDIT runs code, a flag opens what is closed, and
nobody can name all that do; so whatever `build` would not have written is refused.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from tritongen.errors import InvalidInputError
from tritongen.model.codec import decode_text, shallow, text_of
from tritongen.model.cores import CpuReading
from tritongen.model.evidence import Evidence, ModelEvidence
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.merge_marks import CODE, IN_A_GENERATED_FILE, merge_marks
from tritongen.model.target_gpu import TargetGpu

# Thread pools of the libraries behind models in Python, in the order in which they are obeyed.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
TELEMETRY = "ORT_DISABLE_TELEMETRY"
LIMITER, LIMITER_RESOURCE, CACHE = "rate-limit", "rate-limit-resource", "cache-config"

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
class Lock:
    """The whole lock.

    Attributes:
        tool: name and version of the writer.
        target: that was planned for.
        server: how to start it.
        models: by name.
        written: sha256 of every text file that was written, by path relative to the repository.
        refused: evidence of models that were tried and are not served, by name.
    """

    tool: str
    target: LockedTarget
    server: LockedServer = field(default_factory=LockedServer)
    models: Mapping[str, LockedModel] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, ModelEvidence] = field(default_factory=dict)

    def without_facts(self) -> "Lock":
        """The same as an older tool wrote it."""
        models = {name: replace(model, facts=None) for name, model in self.models.items()}
        return replace(self, models=models)

    @property
    def evidence(self) -> Evidence:
        """The evidence of every model, served or not."""
        served = {name: model.evidence for name, model in self.models.items()}
        return Evidence({**self.refused, **served})


def lock_text(lock: Lock) -> str:
    """The JSON text of a lock: sorted keys, one value a line, so that diffs read well."""
    document = {"schema_version": SCHEMA_VERSION, **shallow(lock)}
    return text_of(document, indent=1) + "\n"


def parse_lock(text: str, where: str) -> Lock:
    """Read a lock's text.

    Raises:
        InvalidInputError: TG704 for anything that is not a lock of this schema version; TG710 for
            one that git could not merge.
    """
    if conflict := merge_marks(text):
        raise InvalidInputError(CODE, conflict, where=where, fix=IN_A_GENERATED_FILE)
    try:
        lock = decode_text(Lock, text, "lock", SCHEMA_VERSION)
    except ValueError as problem:
        raise InvalidInputError("TG704", str(problem), where=where) from problem
    for what in _faults(lock):
        raise InvalidInputError("TG704", what, where=where)
    return lock


def _faults(lock: Lock) -> Iterator[str]:
    """What no build writes: a lock may be a stranger's."""
    for setting in refused_settings(lock.server.environment, lock.server.flags):
        yield f"gives the server what no build writes: {setting}"
    files = (
        f"{name}/{relative}"
        for name, model in lock.models.items()
        for relative, _ in model.evidence.files
    )
    for path in chain(lock.written, files):
        if "\0" in path or {"", ".", ".."} & set(path.split("/")):
            yield f"names {path!r}, which leaves the repository"
