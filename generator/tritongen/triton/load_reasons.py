"""Readiness of each expected model, and Triton's own words for why one does not serve as codes.

Every expected model is asked for by name: one whose configuration cannot be read leaves the server
"ready" and appears nowhere but in the log.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.model.progress import Progress
from tritongen.triton.client import IndexEntry
from tritongen.triton.server import ModelStatus

if TYPE_CHECKING:
    from tritongen.triton.connect import ServerClient

# Why one model does not serve.
_MODEL_REASONS: tuple[tuple[str, str], ...] = (
    # instances and GPUs
    (r"has kind KIND_GPU but (no GPUs are available|specifies)", "TG826"),
    (r"specifies invalid or unsupported gpu id", "TG826"),
    (r"has kind KIND_(CPU|MODEL) but specifies one or more GPUs", "TG826"),
    # backend
    (r"unable to find backend library", "TG825"),
    (r"unexpected 'platform' and 'backend' pair|unexpected platform type", "TG821"),
    (r"Could not determine backend for model", "TG821"),
    # ensembles
    (r"^ensemble |in ensemble |of ensemble |for ensemble |ensemble '", "TG835"),
    (r"circular dependency between ensembles", "TG835"),
    # versions and files
    (r"at least one version must be available under the version policy", "TG828"),
    (r"unable to find '.*' for model (instance )?'", "TG836"),
    (r"failed to open text file for read .*config\.pbtxt", "TG821"),
    (r"failed to (open|read|stat)", "TG831"),
    # warm-up
    (r"warmup setting|warmup sample", "TG827"),
    (r"Got input\(s\) \[.*\], but missing required input", "TG827"),
    # backend parameters
    (r"failed to convert '.*' to (boolean|integral number|double number)", "TG824"),
    (r"Invalid configuration value provided|value '.*' is requested", "TG824"),
    (r"Execution Accelerator|precision mode '.*' is requested", "TG824"),
    (r"Incorrect value for FORCE_CPU_ONLY_INPUT_TENSORS", "TG824"),
    (r"execution provider is not in this onnxruntime", "TG824"),
    # model and configuration disagree
    (r"configuration expects (\d+ inputs|datatype|model provides)", "TG823"),
    (r"unexpected inference (input|output)", "TG823"),
    (r"the model expects \d+ dimensions|for the model to support batching", "TG823"),
    (r"scalar tensor '|optional input '|sequence control '", "TG823"),
    (r"configuration specified sequence control", "TG823"),
    (r"autofill failed for model|does not support batching while", "TG823"),
    (r"Unsupported ONNX Type", "TG110"),
    # memory of a GPU, in the words of CUDA, of its libraries, of TensorRT, PyTorch and vLLM
    (r"(?i)cuda( error:| runtime)? \(?out of memory|cuda failure 2\b", "TG832"),
    (r"cudaErrorMemoryAllocation|CU(BLAS|DNN)_STATUS_ALLOC_FAILED|OutOfMemoryError", "TG832"),
    (r"\bOutOfMemory \(|No available memory for the cache blocks", "TG832"),
    (r"Free memory on device .* is less than desired GPU memory utilization", "TG832"),
    (r"larger than the (available KV cache memory|maximum number of tokens that can be)", "TG832"),
    # the runtime refuses the file
    (r"locale with name:", "TG218"),
    (r"onnx runtime error", "TG822"),
    # a process died
    (r"[Ss]tub process|failed to initialize the stub|health(y|ier)? stub", "TG829"),
    (r"ModuleNotFoundError|ImportError|No module named", "TG805"),
    (r"shm|shared memory", "TG818"),
    # the configuration itself
    (r"failed to read text proto|text-format|no field named|directory name must equal", "TG821"),
    (r"must specify|must be|should not be specified|is not supported|can not|cannot", "TG821"),
)

# Why the server as a whole did not start.
_START_REASONS: tuple[tuple[str, str], ...] = (
    (r"Socket '[^']*' already in use|Address already in use", "TG807"),
    (r"error while loading shared libraries: libpython", "TG804"),
    (r"error while loading shared libraries|version `GLIBCXX|version `GLIBC", "TG833"),
    (r"failed to stat file|failed to open the directory", "TG831"),
    (r"No space left on device", "TG818"),
    (r"Cannot allocate memory|std::bad_alloc", "TG813"),
    (r"unrecognized option|invalid option|^Error: ", "TG830"),
    (r"failed to load all models|load failed for model", "TG820"),
)

_POLL = re.compile(r"Poll failed for model directory '([^']*)': (.*?)\"?$")
_LOAD = re.compile(r"failed to load '([^']*)' version \d+: (.*?)\"?$")
_PARSER = re.compile(r"Error parsing text-format inference\.ModelConfig: (.*?)\"?$")
_STATUS = re.compile(
    r"(?:(?:Internal|Invalid argument|Unavailable|Unsupported|Not found|Already exists|Unknown)"
    r"(?:: | - )|TritonModelException: )"
)
_TRACEBACK = re.compile(r"At:|\S+\.py\(\d+\): \S+$")
_LOG_PREFIX = re.compile(r"^[EWI]\d{4} [\d:.]+ \d+ \S+\] ")


def code_for(reason: str) -> str:
    """The code of a model's reason; TG820 when no pattern matches."""
    return next((code for pattern, code in _MODEL_REASONS if re.search(pattern, reason)), "TG820")


def clean(reason: str) -> str:
    """A reason without the server's status word, wrapping and final separator."""
    text = reason.strip().removesuffix(";").strip()
    marker = "is at UNAVAILABLE state: "
    if marker in text:
        text = text.partition(marker)[2]
    # In the log a line break is spelled out; a Python backend's reason names its exception first.
    text = text.replace("\\n", "\n")
    while match := _STATUS.match(text):
        text = text[match.end() :]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # The Python backend appends a traceback to what its model raised.
    kept = [line for line in lines if not _TRACEBACK.match(line)]
    return " ".join(kept) or text


def poll_failures(log: str) -> dict[str, str]:
    """Why models failed when the repository was read; no API tells of them, only the log."""
    failures: dict[str, str] = {}
    parser = ""
    for line in log.splitlines():
        if match := _PARSER.search(line):
            parser = match[1]
        elif match := _POLL.search(line):
            name, reason = match[1], match[2]
            if parser and "text proto" in reason:
                reason = f"config.pbtxt:{parser}"
            parser = ""
            failures[name] = clean(reason)
    return failures


def load_failures(log: str) -> dict[str, str]:
    """Why the log says that models failed, when the repository was read or they were loaded."""
    found = poll_failures(log)
    for line in log.splitlines():
        if match := _LOAD.search(line):
            found[match[1]] = clean(match[2])
    return found


def telling_lines(log: str, lines: int) -> tuple[str, ...]:
    """The last lines of a log without Triton's tables."""
    told = [line for line in log.splitlines() if line.strip() and not line.startswith(("|", "+-"))]
    return tuple(told[-lines:])


def start_failure(log: str) -> tuple[str, str]:
    """Code and line that say best why the server ended; TG810 and its last line otherwise."""
    lines = [_LOG_PREFIX.sub("", line).strip().strip('"') for line in log.splitlines()]
    lines = [line for line in lines if line]
    for pattern, code in _START_REASONS:
        for line in reversed(lines):
            if re.search(pattern, line):
                return code, line
    return "TG810", lines[-1] if lines else ""


def short_of_memory(statuses: tuple[ModelStatus, ...]) -> tuple[ModelStatus, ...]:
    """The models whose backend processes died, when the kernel killed for lack of memory."""
    return tuple(
        replace(
            status,
            code="TG813",
            reason=f"{status.reason}; the kernel killed one for lack of memory",
        )
        if status.code == "TG829"
        else status
        for status in statuses
    )


# What a wait may be longer than it has to be, as a share of it, within these bounds (seconds).
_LATE_SHARE = 0.005
_MIN_POLL_S = 0.002
_MAX_POLL_S = 0.5
_PENDING_STATES = {"LOADING", "UNLOADING"}
# It went away between two questions, or another program has its port: `check_alive` knows.
_NO_SERVER = {"TG814", "TG839"}


def model_statuses(
    client: "ServerClient", models: Sequence[str], log: str
) -> tuple[tuple[ModelStatus, ...], bool]:
    """The state of each expected model, and whether all of them are decided for good.

    Args:
        client: of a server that is live.
        models: expected names.
        log: the server's log so far; empty when it is not at hand.

    Raises:
        EnvironmentProblem: TG814 when the server went away.
    """
    if all(client.model_ready(name) for name in models):
        return tuple(ModelStatus(name, ready=True) for name in models), True
    # The index first: a model that finishes meanwhile is then ready, and not one that failed.
    index: dict[str, list[IndexEntry]] = {}
    for entry in client.index():
        index.setdefault(entry.name, []).append(entry)
    unread = poll_failures(log)
    statuses, decided = [], True
    for name in models:
        entries = index.get(name, [])
        if client.model_ready(name):
            statuses.append(ModelStatus(name, ready=True))
            continue
        if any(entry.state in _PENDING_STATES for entry in entries):
            decided = False
        reason, code = _failed(entries, unread.get(name, ""))
        statuses.append(ModelStatus(name, ready=False, reason=reason, code=code))
    return tuple(statuses), decided


def _failed(entries: Sequence[IndexEntry], unread: str) -> tuple[str, str]:
    """Why a model is not ready, and the code for that."""
    states = [entry for entry in entries if entry.state]
    given = next((entry.reason for entry in states if entry.reason), "")
    if any(entry.state in _PENDING_STATES for entry in states):
        return "still loading", "TG811"
    if unread and not states:
        code = code_for(unread)
        # At the poll stage everything that has no better code is a fault of the configuration.
        return unread, "TG821" if code == "TG820" else code
    if given:
        reason = clean(given)
        return reason, code_for(reason)
    if not entries:
        return "the server's repository holds no such model", "TG828"
    if not states:
        return "the server could not read its configuration; its log says why", "TG821"
    return "not loaded", "TG820"


def wait_for_models(
    client: "ServerClient",
    models: Sequence[str],
    *,
    timeout: float,
    check_alive: Callable[[], None],
    read_log: Callable[[], str],
    progress: Progress | None = None,
) -> tuple[ModelStatus, ...]:
    """Polls until the server is live and every model is ready or has failed for good.

    Args:
        client: of the server that is starting.
        models: expected names.
        timeout: seconds.
        check_alive: raises when the server ended.
        read_log: the log so far.
        progress: told of the number of models that are ready.

    Raises:
        EnvironmentProblem: TG811 when time ran out; what `check_alive` raises.
    """
    begun = time.monotonic()
    deadline = begun + timeout
    statuses: tuple[ModelStatus, ...] = ()
    while True:
        check_alive()
        try:
            decided = client.live()
            if decided:
                statuses, decided = model_statuses(client, models, "")
            if decided and not all(status.ready for status in statuses):
                statuses, decided = model_statuses(client, models, read_log())
        except EnvironmentProblem as error:
            if error.code not in _NO_SERVER:
                raise
            decided = False
        if decided:
            return statuses
        if progress:
            progress("loading models", sum(status.ready for status in statuses), len(models))
        if time.monotonic() >= deadline:
            raise _too_late(timeout, models, statuses, read_log())
        waited = time.monotonic() - begun
        time.sleep(min(_MAX_POLL_S, max(_MIN_POLL_S, _LATE_SHARE * waited)))


def _too_late(
    timeout: float, models: Sequence[str], statuses: Sequence[ModelStatus], log: str
) -> EnvironmentProblem:
    waiting = [status.name for status in statuses if not status.ready] or list(models)
    shown = ", ".join(waiting[:5]) + (", …" if len(waiting) > 5 else "")
    return EnvironmentProblem(
        "TG811",
        f"after {timeout:g} s these models are not ready: {shown}"
        if shown
        else f"after {timeout:g} s the server does not answer",
        details=telling_lines(log, 10),
    )
