"""Keys of the APIs that are not for everybody who reaches a server.

Triton asks for a header with a key before it answers a restricted API. Shared memory is one: who
registers a region of Triton's own Python backend reads and writes what travels there. The tool
itself needs some of them, and knows their key from the project's state; nobody knows the other.
"""

import os
from dataclasses import dataclass

__all__ = ["ApiKeys", "key_headers"]

_TOOL, _NOBODY = "tritongen-key", "tritongen-closed"
# As Triton names the header that it takes over gRPC.
_GRPC_PREFIX = "triton-grpc-protocol-"


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The keys of one server.

    Attributes:
        tool: of what the tool asks for itself: the list of models, loading them, shared memory.
        nobody: of traces and logs, which write files; it is kept nowhere.
    """

    tool: str
    nobody: str

    @classmethod
    def new(cls) -> "ApiKeys":
        """Keys that nobody can guess."""
        return cls(os.urandom(16).hex(), os.urandom(16).hex())

    @property
    def groups(self) -> tuple[str, ...]:
        """Values of Triton's flags, each ``api,…:header=key``."""
        return (
            f"shared-memory,model-repository:{_TOOL}={self.tool}",
            f"trace,logging:{_NOBODY}={self.nobody}",
        )


def key_headers(key: str, *, grpc: bool = False) -> dict[str, str]:
    """The header with the tool's key; none for a server without one."""
    return {f"{_GRPC_PREFIX}{_TOOL}" if grpc else _TOOL: key} if key else {}
