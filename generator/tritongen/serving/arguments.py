"""Arguments of tritonserver that every runtime passes."""

from collections.abc import Iterable, Iterator

from tritongen.serving.protocol import ModelControl, ServerSpec
from tritongen.triton.server import ApiKeys

__all__ = ["closed_apis", "server_arguments", "without_gpu"]


def server_arguments(spec: ServerSpec, own: Iterable[tuple[str, str]], keys: ApiKeys) -> list[str]:
    """Everything that stands behind ``tritonserver``.

    Args:
        spec: of the server.
        own: (flag without dashes, value) that the runtime adds.
        keys: of its restricted APIs.
    """
    options = [
        *own,
        ("exit-on-error", str(spec.exit_on_error).lower()),
        ("model-control-mode", spec.model_control.value),
        *closed_apis(spec, keys),
        *without_gpu(spec),
        *spec.flags,
    ]
    if spec.model_control is ModelControl.EXPLICIT:
        options += [("load-model", name) for name in spec.models]
    arguments = [f"--{flag}={value}" for flag, value in options]
    if not spec.auto_complete:
        arguments.append("--disable-auto-complete-config")
    return arguments


def closed_apis(spec: ServerSpec, keys: ApiKeys) -> Iterator[tuple[str, str]]:
    """Flags that close what is not for everybody, unless the spec closes something itself."""
    given = {flag for flag, _ in spec.flags}
    for flag in ("http-restricted-api", "grpc-restricted-protocol"):
        if flag not in given:
            yield from ((flag, group) for group in keys.groups)


def without_gpu(spec: ServerSpec) -> Iterator[tuple[str, str]]:
    """What spares a server without GPUs its search for them."""
    if not spec.gpus:
        yield "allow-gpu-metrics", "false"
        yield "pinned-memory-pool-byte-size", "0"
