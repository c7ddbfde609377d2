"""Which models a folder holds, and in which format each file is."""

from tritongen.inspection.discovery.finder import (
    Candidate,
    CandidateVersion,
    Discovery,
    find_models,
)
from tritongen.inspection.discovery.names import name_fault

__all__ = ["Candidate", "CandidateVersion", "Discovery", "find_models", "name_fault"]
