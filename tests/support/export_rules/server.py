"""Rules for a server's container, whatever starts it: threads, environment, shared memory."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from support.export_rules.rule_findings import finding
from tritongen.fleet.export.deployment import Service
from tritongen.model.findings import Finding, Severity

__all__ = ["check_server"]

_PYTHON_REGION = 64 << 20
# Their instances are processes that exchange tensors with Triton through /dev/shm.
_PROCESSES = frozenset({"python", "pytorch", "openvino", "fil", "vllm", "tensorrtllm"})


def check_server(
    path: str,
    where: str,
    service: Service,
    *,
    cpus: float | None,
    environment: Mapping[str, str],
    shared_bytes: float | None,
    command: Sequence[object],
    gpus: float,
    kept: Collection[str],
) -> Iterator[Finding]:
    """What a container does wrong.

    Args:
        path: of the file.
        where: the container in it.
        service: that it serves.
        cpus: its limit, None for none.
        environment: its variables.
        shared_bytes: its /dev/shm, None where it is the engine's default.
        command: that it runs.
        gpus: that it is given.
        kept: folders in it that outlive it.
    """
    yield from _gpus_and_caches(path, where, service, gpus, kept)
    threads = service.total_threads
    if cpus is None:
        if service.container.cpus is not None:
            message = (
                f"{where} has no CPU limit, and was planned for {service.container.cpus} cores"
            )
            yield finding("TG757", Severity.ERROR, message, path=path, field=where)
    elif cpus <= 0:
        yield finding("TG761", Severity.ERROR, f"{where} has {cpus:g} CPUs", path=path, field=where)
    elif threads > cpus and not service.container.rate_limited:
        message = f"{where} runs {threads} threads within {cpus:g} CPUs"
        yield finding("TG757", Severity.ERROR, message, path=path, field=where)
    for variable, value in service.container.environment:
        if environment.get(variable) != value:
            found = environment.get(variable)
            message = f"{where} has {variable}={found!r}, the repository was built for {value!r}"
            yield finding("TG764", Severity.ERROR, message, path=path, field=where)
    stack = dict(service.container.ulimits).get("stack")
    if stack is not None and f"ulimit -s {stack >> 10} " not in " ".join(map(str, command)):
        message = f"{where} runs with the engine's stack, the server was tried with {stack} bytes"
        yield finding("TG764", Severity.ERROR, message, path=path, field=where)
    yield from _shared_memory(path, where, service, shared_bytes)


def _shared_memory(
    path: str, where: str, service: Service, shared_bytes: float | None
) -> Iterator[Finding]:
    processes = sum(model.instances for model in service.models if model.backend in _PROCESSES)
    wanted = max(service.container.shared_memory_bytes if processes else 0, _PYTHON_REGION)
    if shared_bytes is None or shared_bytes < wanted:
        given = "the engine's default" if shared_bytes is None else f"{shared_bytes / 2**20:g} MiB"
        message = f"{where} has {given} of /dev/shm, and needs {wanted >> 20} MiB"
        yield finding("TG765", Severity.ERROR, message, path=path, field=where)


def _gpus_and_caches(
    path: str, where: str, service: Service, gpus: float, kept: Collection[str]
) -> Iterator[Finding]:
    if gpus != service.container.gpus:
        message = f"{where} is given {gpus:g} GPUs, and was planned for {service.container.gpus}"
        yield finding("TG761", Severity.ERROR, message, path=path, field=where)
    for name, folder in service.container.caches:
        if folder not in kept:
            message = f"{where} loses its {name} in {folder} whenever it ends"
            yield finding("TG756", Severity.ERROR, message, path=path, field=where)
