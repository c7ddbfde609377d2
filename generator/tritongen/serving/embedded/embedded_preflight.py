"""What stands in the way of an embedded server, found without starting anything."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.lock import CACHE
from tritongen.serving.embedded.fetch import TRITON_VERSION, check_machine
from tritongen.serving.embedded.layout import BACKENDS, check_python
from tritongen.serving.preflight import (
    flag_findings,
    network_findings,
    repository_findings,
    weakness_findings,
)
from tritongen.serving.protocol import ServerSpec
from tritongen.serving.reaper import SHARED_MEMORY
from tritongen.system.machine import memory_left, own_cpus, ptrace_scope
from tritongen.system.process_usage import available_bytes

# Packages that a backend imports inside the server, and the extra that brings them.
PACKAGES: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        "fil": (("numpy", "treelite"), "trees"),
        "onnxruntime": (("numpy", "onnxruntime"), "onnx"),
        "openvino": (("numpy", "openvino"), "openvino"),
        "python": (("numpy",), ""),
        "pytorch": (("numpy", "torch"), "torch"),
    }
)
# The one response cache that it ships.
_CACHE = "local"
# What the Docker Engine gives a container: Triton's Python backend starts with it.
_MIN_SHARED_MEMORY_BYTES = 64 << 20
_TRACING_BY_ROOT = 2  # 3 is for nobody


def machine_findings() -> tuple[Finding, ...]:
    """What this machine lacks for any embedded server; `doctor` shows it."""
    found = []
    for check in (check_machine, check_python):
        try:
            check()
        except EnvironmentProblem as problem:
            found.append(finding(problem.code, Severity.ERROR, problem.what, fix=problem.fix))
    if not SHARED_MEMORY.is_dir() or not os.access(SHARED_MEMORY, os.W_OK):
        message = f"{SHARED_MEMORY} is missing or cannot be written"
        found.append(finding("TG818", Severity.ERROR, message))
    elif (free := shutil.disk_usage(SHARED_MEMORY).free) < _MIN_SHARED_MEMORY_BYTES:
        message = f"{SHARED_MEMORY} has {free >> 20} MiB left"
        found.append(finding("TG818", Severity.WARNING, message))
    if not _hides_arguments():
        message = "no process may trace its child here, so that keys stand in the command line"
        found.append(finding("TG838", Severity.WARNING, message))
    return tuple(found)


def _hides_arguments() -> bool:
    """Whether the kernel lets `hidden` do its work, as far as it tells beforehand."""
    scope = ptrace_scope()
    return scope < _TRACING_BY_ROOT or (scope == _TRACING_BY_ROOT and os.geteuid() == 0)


def findings(spec: ServerSpec) -> tuple[Finding, ...]:
    """Everything that `spec` meets on this machine; errors forbid the start."""
    return (
        *machine_findings(),
        *repository_findings(spec),
        *backend_findings(spec),
        *network_findings(spec),
        *weakness_findings(spec, TRITON_VERSION),
        *flag_findings(spec, TRITON_VERSION),
        *resource_findings(spec),
    )


def backend_findings(spec: ServerSpec) -> Iterator[Finding]:
    """Backends that the embedded Triton lacks, and packages that its own ones need."""
    for backend in sorted(set(spec.backends) - {"", "ensemble"}):
        if backend not in BACKENDS:
            yield finding(
                "TG806", Severity.ERROR, f"the embedded runtime has no backend {backend!r}"
            )
        packages, extra = PACKAGES.get(backend, ((), ""))
        for package in packages:
            if importlib.util.find_spec(package) is None:
                yield finding(
                    "TG805",
                    Severity.ERROR,
                    f"backend {backend!r} needs the package {package}",
                    fix=f"{sys.executable} -m pip install 'tritongen[{extra}]'" if extra else "",
                )
    for flag, value in (*spec.flags, *spec.user_flags):
        kind = value.partition(",")[0]
        if flag == CACHE and kind != _CACHE:
            message = f"the embedded runtime has no response cache {kind!r}, only {_CACHE!r}"
            yield finding("TG806", Severity.ERROR, message)
    if spec.gpus:
        yield finding("TG806", Severity.ERROR, "the embedded runtime serves on CPUs only")


def resource_findings(spec: ServerSpec) -> Iterator[Finding]:
    """Cores and memory that were planned for and are not here."""
    mine = own_cpus()
    if spec.cores is not None and spec.cores > len(mine):
        yield finding(
            "TG316", Severity.WARNING, f"planned for {spec.cores} cores, {len(mine)} are here"
        )
    if missing := sorted(set(spec.cpuset) - mine):
        yield finding("TG316", Severity.WARNING, f"CPUs {missing} are not available here")
    available = available_memory()
    if spec.memory_bytes and available and spec.memory_bytes > available:
        yield finding(
            "TG311",
            Severity.WARNING,
            f"planned for {spec.memory_bytes >> 20} MiB, {available >> 20} MiB are available here",
        )


def available_memory() -> int:
    """Bytes that can be used without swapping, within the cgroup's limit; 0 when unknown."""
    machine, left = available_bytes(unknown=0), memory_left()
    return machine if left is None else min(machine, left)
