"""What Azure ML's managed online endpoints admit: machine families and limits of an endpoint."""

import re

from tritongen.fleet.catalogue.machine_type import Machine
from tritongen.model.business import Platform

REQUESTS_PER_S = 500.0
BYTES_PER_S = 5e6
INSTANCES = 50
TIMEOUT_S = 180.0
# Three instances are what Azure calls highly available.
HIGH_AVAILABILITY = 3
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]")

_FAMILIES = re.compile(
    r"Standard_(?:F\d+s_v2|FX\d+mds|D\d+as_v4|E\d+s_v3|NC\d+as_T4_v3|NC\d+ads_A100_v4"
    r"|NC\d+adi?s_H100_v5|NV\d+ads_A10_v5)"
)
_RETIRED = re.compile(r"Standard_NC\d+s_v3")


def offers(name: str) -> bool:
    """Whether managed online endpoints offer a machine type of this name."""
    return _FAMILIES.fullmatch(name) is not None


def managed(machine: Machine) -> bool:
    """Whether managed online endpoints offer a machine type."""
    return machine.provider == "azure" and offers(machine.name)


def refusal(machine: Machine, platform: Platform) -> str:
    """Why a platform cannot run on a machine type, empty when it can."""
    if machine.provider == "azure" and _RETIRED.fullmatch(machine.name):
        return "the NCv3 series was retired on 30 September 2025"
    if platform is Platform.AZUREML and not managed(machine):
        return "Azure ML's managed endpoints do not offer this machine type"
    return ""
