"""Every target of `tritongen export`; `fleet/export/export_target.py` says what one consists of."""

from collections.abc import Mapping
from types import MappingProxyType

from tritongen.fleet.export.export_target import ExportTarget
from tritongen.fleet.export.targets import azureml, compose, keda, kserve, kubernetes, swarm

TARGETS: Mapping[str, ExportTarget] = MappingProxyType(
    {
        "compose": compose.TARGET,
        "swarm": swarm.TARGET,
        "kubernetes": kubernetes.TARGET,
        "kserve": kserve.TARGET,
        "keda": keda.TARGET,
        "azureml": azureml.TARGET,
    }
)
