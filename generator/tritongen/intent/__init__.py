"""`tritongen.yaml`: text → checked intent, with every fault's path and line."""

from tritongen.intent.intent_faults import Fault, raise_faults
from tritongen.intent.keys import json_schema
from tritongen.intent.reader import INTENT_FILE, IntentDocument, read_intent

__all__ = [
    "INTENT_FILE",
    "Fault",
    "IntentDocument",
    "json_schema",
    "raise_faults",
    "read_intent",
]
