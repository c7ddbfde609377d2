"""A graph optimised once, offline, and saved."""

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from tritongen.optimize.libraries import onnxruntime
from tritongen.optimize.onnx_files import DATA_FILE
from tritongen.optimize.onnx_session import RunRefusal, needs_data_file
from tritongen.trial.onnx_runtime import described, silent_options


class Level(StrEnum):
    """How far a saved graph is optimised.

    `BASIC` folds constants and removes what is not needed: any runtime on any device reads it.
    `EXTENDED` fuses operators into ONNX Runtime's own ones for the CPU. The level beyond, which
    lays tensors out for the very CPU at hand, is never saved: it is done when the model is loaded.
    """

    BASIC = "basic"
    EXTENDED = "extended"


_LEVELS: Mapping[Level, str] = MappingProxyType(
    {Level.BASIC: "ORT_ENABLE_BASIC", Level.EXTENDED: "ORT_ENABLE_EXTENDED"}
)


def level_for(*, gpu: bool, older: bool) -> tuple[Level, str]:
    """The level that suits a target, with the reason.

    Args:
        gpu: whether it has a GPU.
        older: whether its ONNX Runtime is older than the one here.
    """
    if gpu:
        return (
            Level.BASIC,
            "basic, since the target has a GPU and fused CPU operators would stay on",
        )
    if older:
        return Level.BASIC, "basic, since the target's ONNX Runtime is older than the one here"
    return Level.EXTENDED, "extended: operators fused for the CPU"


def optimise(source: Path, target: Path, level: Level, without: Sequence[str] = ()) -> Path:
    """Write the optimised graph.

    Args:
        source: main file of the model.
        target: file to write; its folder must exist.
        level: how far.
        without: names of ONNX Runtime's optimisers that are left out.

    Raises:
        RunRefusal: ONNX Runtime does not load the model or cannot save it.
    """
    library = onnxruntime()
    options = silent_options(library, 1)
    options.graph_optimization_level = getattr(library.GraphOptimizationLevel, _LEVELS[level])
    options.optimized_model_filepath = os.fspath(target)
    if needs_data_file(source):
        entry = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(entry, DATA_FILE)
    try:
        library.InferenceSession(
            os.fspath(source),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(without),
        )
    except Exception as error:  # noqa: BLE001  (onnxruntime's exceptions share no base class)
        raise RunRefusal(described(error, source.parent)) from None
    return target
