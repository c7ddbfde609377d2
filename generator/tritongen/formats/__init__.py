"""One reader per format, from files to ModelFacts; validation of inputs and outputs."""

from tritongen.formats.discovery import ModelCandidate, name_fault
from tritongen.formats.folder_entries import CandidateVersion
from tritongen.formats.model_files import StatKey, hash_files
from tritongen.formats.models_folder import Inspection, inspect_folder, inspect_model
from tritongen.formats.servability import validate

__all__ = [
    "CandidateVersion",
    "Inspection",
    "ModelCandidate",
    "StatKey",
    "hash_files",
    "inspect_folder",
    "inspect_model",
    "name_fault",
    "validate",
]
