"""Rules that validators of the targets miss: which rules each document must obey."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from support.export_rules.azureml import check_autoscale, check_azureml
from support.export_rules.engine import check_engine
from support.export_rules.kubernetes import check_cluster
from support.export_rules.scaling import check_scaling
from tritongen.fleet.export.deployment import Deployment
from tritongen.model.findings import Finding

__all__ = ["check_documents"]


def check_documents(
    files: Mapping[str, Sequence[Any]], deployment: Deployment
) -> Iterator[Finding]:
    """What the documents of an export do wrong, each by itself and against each other.

    Args:
        files: documents as parsed, by the path of their file.
        deployment: what they were rendered from.
    """
    cluster: list[tuple[str, Mapping[str, Any]]] = []
    for path, documents in files.items():
        if _is_off(path, files):
            continue
        for document in documents:
            if not isinstance(document, dict):
                continue
            schema = str(document.get("$schema", ""))
            if isinstance(document.get("services"), dict):
                yield from check_engine(path, document, deployment)
            elif "managedOnline" in schema:
                yield from check_azureml(path, document, deployment)
            elif "deploymentTemplate" in schema:
                yield from check_autoscale(path, document, deployment)
            elif "kind" in document and "metadata" in document:
                cluster.append((path, document))
    yield from check_cluster(cluster, deployment)
    yield from check_scaling(cluster, deployment)


def _is_off(path: str, files: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a file is of an autoscaler that the kustomization does not name."""
    folder = path.rpartition("/")[0]
    (whole, *_) = files.get("kustomization.yaml") or [{}]
    return folder.startswith("overlays/autoscale-") and folder not in whole.get("components", ())
