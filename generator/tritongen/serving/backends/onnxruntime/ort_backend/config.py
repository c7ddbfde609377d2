"""The parts of a ModelConfig that this backend alone reads; see `python_backends.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from python_backends.config import (
    ConfigTensor,
    Json,
    RefusedError,
    State,
    parameters,
    parse_bool,
    parse_int,
    states,
    tensors,
)

_DEVICE_ALLOCATOR = "session.use_device_allocator_for_initializers"
_ARENA_SHRINKAGE = "memory.enable_memory_arena_shrinkage"


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a configuration asks of the session.

    Attributes:
        optimization: name of ONNX Runtime's graph optimisation level.
        parallel: whether independent operators run side by side.
        intra_threads: threads that share an operator; 0 leaves ONNX Runtime's choice.
        inter_threads: operators side by side; 0 leaves ONNX Runtime's choice.
        arena: CPU memory arena; None leaves ONNX Runtime's choice.
        pattern: memory pattern; None leaves ONNX Runtime's choice.
        session_entries: (key, value) of the session's configuration.
        run_entries: (key, value) of every run's configuration.
        openvino: whether OpenVINO executes what it can.
        op_libraries: shared libraries with custom operators.
    """

    optimization: str = "ORT_ENABLE_ALL"
    parallel: bool = False
    intra_threads: int = 0
    inter_threads: int = 0
    arena: bool | None = None
    pattern: bool | None = None
    session_entries: tuple[tuple[str, str], ...] = ()
    run_entries: tuple[tuple[str, str], ...] = ()
    openvino: bool = False
    op_libraries: tuple[str, ...] = ()


def session_settings(config: Json) -> SessionSettings:
    """Reads and checks everything that shapes the session.

    Raises:
        RefusedError: a value that the C++ backend refuses, in its words.
    """
    given = parameters(config)
    mode = parse_int(given.get("execution_mode", "0"))
    if mode not in (0, 1):
        raise RefusedError(
            "Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 "
            f"but got {mode} ."
        )
    return SessionSettings(
        optimization=_optimization(config),
        parallel=mode == 1,
        intra_threads=max(0, parse_int(given.get("intra_op_thread_count", "0"))),
        inter_threads=max(0, parse_int(given.get("inter_op_thread_count", "0"))),
        arena=_optional_bool(given, "enable_mem_arena"),
        pattern=_optional_bool(given, "enable_mem_pattern"),
        session_entries=_entries(given, _DEVICE_ALLOCATOR),
        run_entries=_entries(given, _ARENA_SHRINKAGE),
        openvino=_openvino(config),
        op_libraries=tuple(
            config.get("model_operations", {}).get("op_library_filename", ()),
        ),
    )


def _optimization(config: Json) -> str:
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    names = {-1: "ORT_ENABLE_BASIC", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}
    return names.get(level, "ORT_ENABLE_ALL")


def _optional_bool(given: Mapping[str, str], key: str) -> bool | None:
    return parse_bool(given[key]) if key in given else None


def _entries(given: Mapping[str, str], key: str) -> tuple[tuple[str, str], ...]:
    return ((key, given[key]),) if key in given else ()


def _openvino(config: Json) -> bool:
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    names = [item["name"] for item in accelerators.get("cpu_execution_accelerator", ())]
    for name in names:
        if name != "openvino":
            raise RefusedError(f"unknown Execution Accelerator '{name}' is requested")
    return bool(names)


@dataclass(frozen=True, slots=True)
class BatchInput:
    """A tensor that describes the batch, made by the backend itself."""

    kind: str
    targets: tuple[str, ...]
    dtype: str
    source: str


@dataclass(frozen=True, slots=True)
class ConfigInterface:
    """The configuration's tensors.

    Attributes:
        model: its name, for messages.
        max_batch_size: 0 when the model does not batch.
        inputs: declared inputs.
        outputs: declared outputs.
        batch_inputs: tensors made from the batch.
        scattered: output → the input whose shapes say how it is split over requests.
        controls: (input, type) of the sequence batcher's controls.
        states: that the sequence batcher keeps.
    """

    model: str
    max_batch_size: int
    inputs: tuple[ConfigTensor, ...]
    outputs: tuple[ConfigTensor, ...]
    batch_inputs: tuple[BatchInput, ...] = ()
    scattered: Mapping[str, str] = field(default_factory=dict)
    controls: tuple[tuple[str, str], ...] = ()
    states: tuple[State, ...] = ()


def interface(config: Json) -> ConfigInterface:
    """Reads the tensors of a configuration that Triton's core has accepted."""
    sequence = config.get("sequence_batching", {})
    return ConfigInterface(
        model=config["name"],
        max_batch_size=int(config.get("max_batch_size", 0)),
        inputs=tensors(config, "input"),
        outputs=tensors(config, "output"),
        batch_inputs=tuple(
            BatchInput(
                item["kind"],
                tuple(item["target_name"]),
                item["data_type"],
                next(iter(item["source_input"]), ""),
            )
            for item in config.get("batch_input", ())
        ),
        scattered={
            target: item["source_input"][0]
            for item in config.get("batch_output", ())
            for target in item["target_name"]
        },
        controls=tuple(
            (item["name"], _control_dtype(control))
            for item in sequence.get("control_input", ())
            for control in item.get("control", ())
        ),
        states=states(config),
    )


def _control_dtype(control: Json) -> str:
    for kind in ("INT32", "FP32", "BOOL"):
        if control.get(f"{kind.lower()}_false_true"):
            return f"TYPE_{kind}"
    return str(control.get("data_type", "TYPE_INVALID"))
