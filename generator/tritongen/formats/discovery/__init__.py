"""Which models a folder holds, and in which format each file is."""

from tritongen.formats.discovery.finder import (
    CandidateVersion,
    Discovery,
    ModelCandidate,
    find_models,
)
from tritongen.formats.discovery.mains import is_leftover
from tritongen.formats.discovery.names import name_fault

__all__ = [
    "CandidateVersion",
    "Discovery",
    "ModelCandidate",
    "find_models",
    "is_leftover",
    "name_fault",
]
