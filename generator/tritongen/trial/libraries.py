"""The packages that run models, imported when they are first needed."""

import importlib
import os
from collections.abc import Sequence
from types import ModuleType

from tritongen.errors import EnvironmentProblem


def library(name: str, purpose: str, extra: str, submodules: Sequence[str] = ()) -> ModuleType:
    """A package with some of its submodules.

    Args:
        name: of the package.
        purpose: what it is needed for, up to the verb: ``forests need``.
        extra: of tritongen that installs it.
        submodules: to import as well.

    Raises:
        EnvironmentProblem: TG006, it is not installed.
    """
    # Newest wheels of onnxruntime report usage to their maker unless told otherwise before.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        for submodule in submodules:
            importlib.import_module(f"{name}.{submodule}")
        return importlib.import_module(name)
    except ImportError as error:
        raise EnvironmentProblem(
            "TG006",
            f"{purpose} {name}, which cannot be imported: {error}",
            fix=f"pip install 'tritongen[{extra}]'",
        ) from None
