"""Which models a folder holds, and in which format each file is."""

from tritongen.formats.discovery.finder import Candidate, CandidateVersion, Discovery, find_models
from tritongen.formats.discovery.mains import is_leftover
from tritongen.formats.discovery.names import name_fault

__all__ = [
    "Candidate",
    "CandidateVersion",
    "Discovery",
    "find_models",
    "is_leftover",
    "name_fault",
]
