"""Rules that validators of the targets miss: which rules a document must obey."""

from collections.abc import Iterator, Sequence
from typing import Any

from tritongen.domain.deployment import Deployment
from tritongen.domain.findings import Finding
from tritongen.export.semantics_engine import check_engine

__all__ = ["check_documents"]


def check_documents(
    path: str, documents: Sequence[Any], deployment: Deployment
) -> Iterator[Finding]:
    """What the documents of one file do wrong.

    Args:
        path: of the file, for the findings.
        documents: as parsed.
        deployment: what they were rendered from.
    """
    for document in documents:
        if isinstance(document, dict) and isinstance(document.get("services"), dict):
            yield from check_engine(path, document, deployment)
