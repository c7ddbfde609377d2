"""TG8xx: serving."""

from tritongen.errors.code import Code

SERVING_CODES: tuple[Code, ...] = ()
