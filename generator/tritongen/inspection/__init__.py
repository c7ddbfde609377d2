"""One reader per format, from files to ModelFacts; validation of I/O; the trial run."""

from tritongen.inspection.discovery import (
    Candidate,
    CandidateVersion,
    Discovery,
    find_models,
    name_fault,
)
from tritongen.inspection.folder import Inspection, inspect_folder, inspect_model
from tritongen.inspection.hashing import StatKey, hash_files
from tritongen.inspection.validate import validate

__all__ = [
    "Candidate",
    "CandidateVersion",
    "Discovery",
    "Inspection",
    "StatKey",
    "find_models",
    "hash_files",
    "inspect_folder",
    "inspect_model",
    "name_fault",
    "validate",
]
