"""Triton's own words matched to the tool's codes.

The table is read from the top and the first match wins, so that a precise pattern stands above a
general one. Patterns are parts of what tritonserver and its backends print.
"""

import re
from dataclasses import dataclass, replace

from tritongen.triton.server import ModelStatus

__all__ = [
    "ModelFailure",
    "clean",
    "code_for",
    "load_failures",
    "poll_failures",
    "short_of_memory",
    "start_failure",
    "telling_lines",
]

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
    # the runtime refuses the file
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

_COMPILED_MODEL = tuple((re.compile(pattern), code) for pattern, code in _MODEL_REASONS)
_COMPILED_START = tuple((re.compile(pattern), code) for pattern, code in _START_REASONS)

_POLL = re.compile(r"Poll failed for model directory '([^']*)': (.*?)\"?$")
_LOAD = re.compile(r"failed to load '([^']*)' version \d+: (.*?)\"?$")
_PARSER = re.compile(r"Error parsing text-format inference\.ModelConfig: (.*?)\"?$")
_STATUS = re.compile(
    r"(?:(?:Internal|Invalid argument|Unavailable|Unsupported|Not found|Already exists|Unknown)"
    r"(?:: | - )|TritonModelException: )"
)
_LOG_PREFIX = re.compile(r"^[EWI]\d{4} [\d:.]+ \d+ \S+\] ")


@dataclass(frozen=True, slots=True)
class ModelFailure:
    """A model that does not serve, and why."""

    model: str
    reason: str


def code_for(reason: str) -> str:
    """The code of a model's reason; TG820 when no pattern matches."""
    return next((code for pattern, code in _COMPILED_MODEL if pattern.search(reason)), "TG820")


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
    kept = [line for line in lines if not line.startswith("At:") and not _is_frame(line)]
    return " ".join(kept) or text


def _is_frame(line: str) -> bool:
    return re.match(r"\S+\.py\(\d+\): \S+$", line) is not None


def poll_failures(log: str) -> tuple[ModelFailure, ...]:
    """Models that failed when the repository was read; no API tells of them, only the log."""
    failures: dict[str, ModelFailure] = {}
    parser = ""
    for line in log.splitlines():
        if match := _PARSER.search(line):
            parser = match[1]
        elif match := _POLL.search(line):
            name, reason = match[1], match[2]
            if parser and "text proto" in reason:
                reason = f"config.pbtxt:{parser}"
            parser = ""
            failures[name] = ModelFailure(name, clean(reason))
    return tuple(failures.values())


def load_failures(log: str) -> tuple[ModelFailure, ...]:
    """Models that the log says failed, when the repository was read or when they were loaded."""
    found = {failure.model: failure for failure in poll_failures(log)}
    for line in log.splitlines():
        if match := _LOAD.search(line):
            found[match[1]] = ModelFailure(match[1], clean(match[2]))
    return tuple(found.values())


def telling_lines(log: str, lines: int) -> tuple[str, ...]:
    """The last lines of a log without Triton's tables."""
    told = [line for line in log.splitlines() if line.strip() and not line.startswith(("|", "+-"))]
    return tuple(told[-lines:])


def start_failure(log: str) -> tuple[str, str]:
    """Code and line that say best why the server ended; TG810 and its last line otherwise."""
    lines = [_LOG_PREFIX.sub("", line).strip().strip('"') for line in log.splitlines()]
    lines = [line for line in lines if line]
    for pattern, code in _COMPILED_START:
        for line in reversed(lines):
            if pattern.search(line):
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
