"""Parameters of the TorchScript platform."""

from dataclasses import dataclass

from python_backends.config import Json, parameters, parse_bool, parse_int


@dataclass(frozen=True, slots=True)
class TorchSettings:
    """What a configuration asks of TorchScript.

    Attributes:
        intra_threads: that share one operator; 0 leaves the library's choice.
        inter_threads: for forked parts; 0 leaves the library's choice.
        optimized: whether the JIT's optimiser is on.
        inference_mode: whether autograd keeps no records.
        fuser: of tensor expressions; None leaves it.
        profiling: the JIT's profiling mode; None leaves it.
        executor: the JIT's executor mode; None leaves it.
    """

    intra_threads: int = 0
    inter_threads: int = 0
    optimized: bool = True
    inference_mode: bool = True
    fuser: bool | None = None
    profiling: bool | None = None
    executor: bool | None = None


def settings_of(config: Json) -> TorchSettings:
    """Reads and checks the parameters, in the C++ backend's order.

    Raises:
        RefusedError: a value that the C++ backend refuses, in its words.
    """
    given = parameters(config)

    def flag(key: str) -> bool | None:
        return parse_bool(given[key]) if key in given else None

    disabled = flag("DISABLE_OPTIMIZED_EXECUTION")
    flag("ENABLE_CACHE_CLEANING")
    inference = flag("INFERENCE_MODE")
    flag("DISABLE_CUDNN")
    fuser = flag("ENABLE_TENSOR_FUSER")
    flag("ENABLE_WEIGHT_SHARING")
    return TorchSettings(
        optimized=not disabled,
        inference_mode=inference is not False,
        fuser=fuser,
        profiling=flag("ENABLE_JIT_PROFILING"),
        executor=flag("ENABLE_JIT_EXECUTOR"),
        intra_threads=max(0, parse_int(given.get("INTRA_OP_THREAD_COUNT", "0"))),
        inter_threads=max(0, parse_int(given.get("INTER_OP_THREAD_COUNT", "0"))),
    )
