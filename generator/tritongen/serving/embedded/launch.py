"""The command, the environment and the process of an embedded server."""

import hashlib
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tritongen.serving.embedded.hidden_arguments import Program, start
from tritongen.serving.embedded.layout import TritonLayout
from tritongen.serving.growing_log import new_log
from tritongen.serving.protocol import ServerSpec, server_arguments
from tritongen.system.files import translated
from tritongen.system.machine import own_cpus, pin
from tritongen.system.processes import LABEL, PROJECT, SERVER, prefer_for_oom_kill, region_prefix
from tritongen.system.user_cache import cache_folder, private_folder
from tritongen.triton.server import ApiKeys

_log = logging.getLogger(__name__)
# Variables of the caller that a server may see. Everything else, secrets above all, stays out, and
# so does what would make a run on this machine differ from the next (OMP_NUM_THREADS, PYTHON*).
_INHERITED = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
# Names the folder that the onnxruntime backend imports its library from.
ONNXRUNTIME = "TRITONGEN_ONNXRUNTIME_FOLDER"
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")


def command(spec: ServerSpec, layout: TritonLayout, server: str, keys: ApiKeys) -> list[str]:
    """The server's argument list; for the arguments see `launch`.

    Raises:
        EnvironmentProblem: TG004, a path that needs a link cannot get one.
    """
    # Triton's HTTP and gRPC servers write an IPv6 address in two ways, neither the usual one.
    six = ":" in spec.host
    http, grpc = (f"ipv6:{spec.host}", f"[{spec.host}]") if six else (spec.host, spec.host)
    options = [
        ("model-repository", str(plain_path(spec.repository.resolve()))),
        ("backend-directory", str(plain_path(layout.backends))),
        ("cache-directory", str(layout.home.caches)),
        ("http-address", http),
        ("http-port", str(spec.ports.http)),
        ("grpc-address", grpc),
        ("grpc-port", str(spec.ports.grpc)),
        ("metrics-address", http),
        ("metrics-port", str(spec.ports.metrics)),
        ("backend-config", f"python,shm-region-prefix-name={region_prefix(server)}"),
    ]
    return [str(layout.home.executable), *server_arguments(spec, options, keys)]


def environment(
    spec: ServerSpec, layout: TritonLayout, server: str, onnxruntime: str = ""
) -> dict[str, str]:
    """The server's whole environment; for the arguments see `launch`."""
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        **spec.passed_values,
        "CUDA_VISIBLE_DEVICES": "",  # KIND_AUTO means CPU, as in a container without GPUs
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict(spec.environment),
        **({ONNXRUNTIME: onnxruntime} if onnxruntime else {}),
        "PATH": f"{layout.python_folder}:/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{layout.libraries}:{layout.home.libraries}",
        LABEL: spec.label,
        PROJECT: str(spec.project.resolve()),
        SERVER: server,
    }


def cpus_for(spec: ServerSpec) -> frozenset[int]:
    """CPUs that the server may run on; empty for all that this process has.

    `cores` takes the first ones of this process's own set.
    """
    mine = sorted(own_cpus())
    if spec.cpuset:
        return frozenset(spec.cpuset) & frozenset(mine)
    if spec.cores is not None and spec.cores < len(mine):
        return frozenset(mine[: spec.cores])
    return frozenset()


@contextmanager
def _pinned(cpus: frozenset[int]) -> Iterator[None]:
    """Pins the calling thread, so that a child forked meanwhile and all its threads inherit it."""
    if not cpus:
        yield
        return
    before = own_cpus()
    pin(cpus)
    try:
        yield
    finally:
        pin(before)


def launch(
    spec: ServerSpec, layout: TritonLayout, server: str, keys: ApiKeys, onnxruntime: str = ""
) -> "subprocess.Popen[bytes]":
    """Starts the server in a session of its own: Ctrl-C in the terminal does not reach it.

    Its log, its regions of shared memory and its keys are for this user alone.

    Args:
        spec: of the server; its ports are settled.
        layout: the folder that it is started with.
        server: this start's name.
        keys: of its restricted APIs.
        onnxruntime: folder of the target's ONNX Runtime; empty for the installed one.

    Raises:
        EnvironmentProblem: TG004 or TG005 when the log cannot be written, TG011 when it is no
            plain file of this user.
        OSError: the program cannot be executed.
    """
    arguments = command(spec, layout, server, keys)
    variables = environment(spec, layout, server, onnxruntime)
    with translated(spec.log):
        output = new_log(spec.log)
    secrets = (keys.tool, keys.nobody)
    with output, _pinned(cpus_for(spec)):
        process = start(Program(arguments, variables, secrets, layout.folder, output))
    # Where memory is limited for a whole session, the server must go before the tool that tells.
    prefer_for_oom_kill(process.pid)
    _log.info("tritonserver runs as process %d, its log is %s", process.pid, spec.log)
    return process


def plain_path(path: Path) -> Path:
    """The path itself when a shell reads it as one word, else a link to it: the same at every call.

    Triton's Python backend starts its processes by a shell's command line into which it writes the
    paths of the model and of the backend as they are: a blank cuts them in two, and a quote or a
    dollar sign does worse.

    Args:
        path: absolute.

    Raises:
        EnvironmentProblem: TG004, the link cannot be made.
    """
    if _PLAIN.fullmatch(str(path)):
        return path
    folder = cache_folder("links", private_folder())
    link = folder / hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    with translated(folder):
        if not link.is_symlink():
            # Beside and renamed: two starts at once make the same link.
            staged = folder / f"{link.name}.{os.getpid()}"
            staged.unlink(missing_ok=True)
            staged.symlink_to(path)
            staged.replace(link)
    return link
