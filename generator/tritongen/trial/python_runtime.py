"""Models of the python backend, run with a stand-in for Triton's own module."""

import errno
import importlib.util
import inspect
import json
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tritongen.model.evidence import ReportedTensor
from tritongen.model.samples import Array
from tritongen.model.tensors import TensorSpec, is_dynamic
from tritongen.trial import backend_utils
from tritongen.trial.runtime import (
    MAX_MESSAGE_CHARACTERS,
    DeclaredInterface,
    RuntimeRefusal,
    numbered,
    refusal,
)

_MODULE = "triton_python_backend_utils"
# How long a model may send after `execute` has returned; chosen: as long as a whole trial.
_PATIENCE_S = 60.0


# Errors of the system that the sandbox alone causes, or that name lookup makes of them.
_OF_SANDBOX = {errno.EACCES, errno.EPERM, errno.ENETUNREACH, socket.EAI_AGAIN, socket.EAI_NONAME}
SANDBOXED = (
    " (it ran in a sandbox without network that writes to its temporary folder only; `tritongen "
    "build --no-trial` plans from what tritongen.yaml declares)"
)


class PythonModels:
    """This Python.

    Args:
        interface: inputs, outputs and parameters of the configuration that the model reads.
    """

    def __init__(self, interface: DeclaredInterface) -> None:
        self._interface = interface

    @property
    def name(self) -> str:
        """``python`` and its version."""
        return f"python {sys.version_info.major}.{sys.version_info.minor}"

    def load(self, path: Path, *, threads: int, inter_op: int = 1) -> "PythonSession":
        """Import the file and initialise its model; its libraries' threads are the process's."""
        del threads, inter_op
        sys.modules[_MODULE] = backend_utils
        for folder in (path.parent, path.parent.parent):
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
        try:
            spec = importlib.util.spec_from_file_location("tritongen_trial_model", path)
            if spec is None or spec.loader is None:
                raise RuntimeRefusal("the file cannot be imported")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            config = _config(_folder(path).name, self._interface)
            policy = _policy(module.TritonPythonModel, config)
            if policy:
                config["model_transaction_policy"] = {"decoupled": True}
            model = module.TritonPythonModel()
            if hasattr(model, "initialize"):
                model.initialize(_arguments(path, config))
        except RuntimeRefusal:
            raise
        except Exception as error:  # noqa: BLE001  (the user's code raises what it likes)
            raise _refusal(error) from None
        return PythonSession(model, self._interface, policy)


def _folder(path: Path) -> Path:
    """The model's folder, whose version folder may hold the file."""
    return path.parent.parent if path.parent.name.isdecimal() else path.parent


def _policy(model: Any, config: dict[str, Any]) -> bool | None:  # noqa: ANN401  (the user's class)
    """The policy that `auto_complete_config` sets, None where it sets none."""
    completed = backend_utils.ModelConfig({**config, "model_transaction_policy": {}})
    # `up` starts Triton without auto-completion, so that what fails there is no failure.
    with suppress(Exception):
        model.auto_complete_config(completed)
    decoupled = completed.as_dict()["model_transaction_policy"].get("decoupled")
    return None if decoupled is None else bool(decoupled)


def _arguments(path: Path, config: dict[str, Any]) -> dict[str, str]:
    """What Triton hands to `initialize`: texts alone."""
    version = path.parent.name if path.parent.name.isdecimal() else "1"
    folder = _folder(path)
    return {
        "model_config": json.dumps(config),
        "model_instance_kind": "CPU",
        "model_instance_name": f"{folder.name}_0_0",
        "model_instance_device_id": "0",
        "model_repository": str(folder),
        "model_version": version,
        "model_name": folder.name,
    }


def _config(name: str, interface: DeclaredInterface) -> dict[str, Any]:
    batched = interface.max_batch_size > 0
    return {
        "name": name,
        "backend": "python",
        "max_batch_size": interface.max_batch_size,
        "input": [_entry(spec, batched) for spec in interface.inputs],
        "output": [_entry(spec, batched) for spec in interface.outputs],
        "parameters": {key: {"string_value": value} for key, value in interface.parameters.items()},
        "model_transaction_policy": {"decoupled": interface.decoupled},
    }


def _entry(spec: TensorSpec, batched: bool) -> dict[str, Any]:
    dims = [-1 if is_dynamic(dim) else dim for dim in spec.shape or ()]
    kind = spec.dtype.config_name if spec.dtype is not None else "TYPE_INVALID"
    return {"name": spec.name, "data_type": kind, "dims": dims[1:] if batched else dims}


class PythonSession:
    """One initialised model; each run is one request.

    Args:
        model: of the user's class.
        interface: outputs to ask for.
        policy: that `auto_complete_config` sets, None where it sets none.
    """

    # Nothing is known beyond the configuration.
    inputs: Sequence[ReportedTensor] = ()
    outputs: Sequence[ReportedTensor] = ()

    def __init__(
        self,
        model: Any,  # noqa: ANN401  (the user's class)
        interface: DeclaredInterface,
        policy: bool | None = None,
    ) -> None:
        self._model = model
        self._interface = interface
        self._policy = policy
        self._shown: bool | None = None

    @property
    def decoupled(self) -> bool | None:
        """Whether a request gets other than one response; None where one came from a sender.

        Another request might get several from it.
        """
        return self._shown if self._policy is None else self._policy

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; see `LoadedModel.run`."""
        tensors = [backend_utils.Tensor(name, array) for name, array in inputs.items()]
        wanted = [spec.name for spec in self._interface.outputs]
        request = backend_utils.InferenceRequest("trial", wanted, tensors)
        try:
            given = self._model.execute([request])
            if inspect.iscoroutine(given):
                import asyncio  # no other model needs it

                given = asyncio.run(given)
        except Exception as error:  # noqa: BLE001  (the user's code raises what it likes)
            raise _refusal(error) from None
        responses = self._responses(request, given)
        for response in responses:
            if response.has_error():
                raise RuntimeRefusal(response.error().message()[:MAX_MESSAGE_CHARACTERS])
        return numbered(
            [
                {
                    tensor.name(): _plain(np.asarray(tensor.as_numpy()))
                    for tensor in response.output_tensors()
                }
                for response in responses
            ]
        )

    def _responses(
        self,
        request: backend_utils.InferenceRequest,
        given: Any,  # noqa: ANN401  (the user's)
    ) -> Sequence[backend_utils.InferenceResponse]:
        if not request.has_sender:
            self._shown = self._shown or False
            response = next(iter(given or ()), None)
            if response is None:
                raise RuntimeRefusal("execute() gave no response")
            return [response]
        if not request.complete.wait(_PATIENCE_S):
            raise RuntimeRefusal("its response sender never sent the final flag")
        if len(request.sent) != 1:
            self._shown = True
        return request.sent


def _plain(array: Array) -> Array:
    """Texts as objects of bytes."""
    if array.dtype.kind == "U":
        array = np.char.encode(array, "utf-8")
    return array.astype(object) if array.dtype.kind == "S" else array


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def _refusal(error: Exception) -> RuntimeRefusal:
    message = " ".join(f"{type(error).__name__}: {error}".split())
    causes = tuple(_causes(error))
    # May come from what the sandbox forbids.
    sandboxed = any(isinstance(one, OSError) and one.errno in _OF_SANDBOX for one in causes)
    if sandboxed:
        message = message[: MAX_MESSAGE_CHARACTERS - len(SANDBOXED)] + SANDBOXED
    found = refusal(error, message)
    if sandboxed or any(isinstance(one, backend_utils.NoServerError) for one in causes):
        found.about_inputs = False
    return found
