"""TG9xx: probing and tuning."""

from tritongen.errors.code import Code

PROBE_CODES: tuple[Code, ...] = ()
