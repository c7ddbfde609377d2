"""Every stable code with its title and its general cure.

Ranges: TG0xx the tool and its files · TG1xx model files and their I/O · TG20x the trial run ·
TG21x to TG24x rewriting and quantising · TG3xx `tritongen.yaml` and the plan ·
TG4xx Triton core's load rules · TG5xx backends' rules · TG6xx mistakes that Triton accepts in
silence · TG7xx repository, lock and drift · TG8xx serving · TG9xx probing and tuning.
"""

from collections.abc import Mapping
from types import MappingProxyType

from tritongen.errors.code import Code
from tritongen.errors.codes_capacity import CAPACITY_CODES, EXPORT_CODES, OBSERVE_CODES
from tritongen.errors.codes_config import CONFIG_CODES
from tritongen.errors.codes_docker import DOCKER_CODES
from tritongen.errors.codes_model import MODEL_CODES
from tritongen.errors.codes_optimize import OPTIMIZE_CODES
from tritongen.errors.codes_probe import PROBE_CODES
from tritongen.errors.codes_serving import SERVING_CODES
from tritongen.errors.codes_tool import TOOL_CODES

__all__ = ["CODES", "Code", "code"]

CODES: Mapping[str, Code] = MappingProxyType(
    {
        entry.id: entry
        for entry in (
            *TOOL_CODES,
            *MODEL_CODES,
            *OPTIMIZE_CODES,
            *CONFIG_CODES,
            *SERVING_CODES,
            *DOCKER_CODES,
            *PROBE_CODES,
            *CAPACITY_CODES,
            *EXPORT_CODES,
            *OBSERVE_CODES,
        )
    }
)


def code(identifier: str) -> Code:
    """The entry of one code.

    Raises:
        KeyError: the code is not registered; a programming error, caught by the tests.
    """
    return CODES[identifier]
