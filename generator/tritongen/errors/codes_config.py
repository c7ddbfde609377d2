"""TG4xx: Triton core's load rules. TG5xx: backends' rules. TG6xx: mistakes accepted in silence."""

from tritongen.errors.code import Code

CONFIG_CODES: tuple[Code, ...] = ()
