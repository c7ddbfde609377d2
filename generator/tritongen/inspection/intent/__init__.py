"""`tritongen.yaml`: text → checked intent, with every fault's path and line."""

from tritongen.inspection.intent.faults import Fault, raise_faults
from tritongen.inspection.intent.reader import (
    INTENT_FILE,
    IntentDocument,
    read_intent,
)
from tritongen.inspection.intent.schema import json_schema

__all__ = [
    "INTENT_FILE",
    "Fault",
    "IntentDocument",
    "json_schema",
    "raise_faults",
    "read_intent",
]
