"""`tritongen.yaml`: text → checked intent, with every fault's path and line."""

from tritongen.intent.reader import INTENT_FILE, IntentDocument, json_schema, read_intent
from tritongen.intent.value_shapes import Fault, raise_faults

__all__ = [
    "INTENT_FILE",
    "Fault",
    "IntentDocument",
    "json_schema",
    "raise_faults",
    "read_intent",
]
