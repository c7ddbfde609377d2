"""TG4xx: Triton core's load rules. TG5xx: backends' rules. TG6xx: mistakes accepted in silence."""

from tritongen.errors.code import Code
from tritongen.errors.codes_backend import BACKEND_CODES
from tritongen.errors.codes_core import CORE_CODES
from tritongen.errors.codes_silent import SILENT_CODES

CONFIG_CODES: tuple[Code, ...] = (*CORE_CODES, *BACKEND_CODES, *SILENT_CODES)
