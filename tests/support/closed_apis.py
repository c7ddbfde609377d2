"""Calls of Triton's that are not for everybody who reaches a server, and what answers them."""

from collections.abc import Callable, Iterator
from typing import Any

HTTP_CALLS = (
    ("POST", "/v2/systemsharedmemory/region/r/register"),
    ("POST", "/v2/systemsharedmemory/region/r/unregister"),
    ("POST", "/v2/systemsharedmemory/unregister"),
    ("GET", "/v2/systemsharedmemory/status"),
    ("POST", "/v2/cudasharedmemory/region/r/register"),
    ("GET", "/v2/cudasharedmemory/status"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/m/load"),
    ("POST", "/v2/repository/models/m/unload"),
    ("GET", "/v2/trace/setting"),
    ("POST", "/v2/trace/setting"),
    ("POST", "/v2/logging"),
)
# (method of tritonclient's gRPC client, arguments)
GRPC_CALLS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("register_system_shared_memory", ("r", "/r", 8)),
    ("unregister_system_shared_memory", ()),
    ("get_system_shared_memory_status", ()),
    ("get_cuda_shared_memory_status", ()),
    ("get_model_repository_index", ()),
    ("load_model", ("m",)),
    ("unload_model", ("m",)),
    ("update_trace_settings", ()),
    ("update_log_settings", ({},)),
)


def open_calls(
    ask: Callable[[str, str], int], grpc: str, key: str = ""
) -> Iterator[tuple[str, object]]:
    """Closed calls that a server answers in another way than by a refusal, and how.

    Args:
        ask: status of an HTTP answer, by path and method.
        grpc: address of the server's gRPC.
        key: that is tried over gRPC.
    """
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    for method, path in HTTP_CALLS:
        if (status := ask(path, method)) != 403:
            yield path, status
    client: Any = InferenceServerClient(grpc)
    headers = {"triton-grpc-protocol-tritongen-closed": key} if key else None
    try:
        for name, arguments in GRPC_CALLS:
            try:
                yield name, getattr(client, name)(*arguments, headers=headers)
            except InferenceServerException as refusal:
                text = str(refusal)
                if "restricted" not in text and "PERMISSION_DENIED" not in text:
                    yield name, text
    finally:
        client.close()
