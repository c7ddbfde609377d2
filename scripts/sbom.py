"""Prints what an installation of tritongen consists of, as a CycloneDX 1.6 document.

The packages are those of requirements/onnx.txt, with which the demo and the tests run; the embedded
Triton is what `up` fetches by its hash. The same sources give the same text: the time is
SOURCE_DATE_EPOCH, and the number of the document follows from its content.
"""

import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_PACKAGE = re.compile(r"(?m)^([a-z0-9-]+)==(\S+)(?: ; (.+?))?(?: \\)?$")
_CONSTANT = r'(?m)^{} = "(.*)"$'
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # of URLs, by RFC 9562


def constant(path: str, name: str) -> str:
    """The text that a module gives to a name."""
    text = (ROOT / "generator/tritongen" / path).read_text(encoding="utf-8")
    found = re.search(_CONSTANT.format(name), text)
    if found is None:
        sys.exit(f"{path} has no {name}")
    return found[1]


def package(name: str, version: str) -> dict[str, Any]:
    """A package of the Python Package Index."""
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def packages() -> Iterator[dict[str, Any]]:
    """Every locked package, with the condition under which it is installed, and Triton's wheel."""
    text = (ROOT / "requirements/onnx.txt").read_text(encoding="utf-8")
    for name, version, condition in _PACKAGE.findall(text):
        told = {"properties": [{"name": "tritongen:condition", "value": condition}]}
        yield {**package(name, version), **(told if condition else {})}
    fetch = "serving/embedded/fetch.py"
    triton = package(constant(fetch, "DISTRIBUTION"), constant(fetch, "DISTRIBUTION_VERSION"))
    yield {
        **triton,
        "description": f"Triton {constant(fetch, 'TRITON_VERSION')}, which `up` fetches",
        "hashes": [{"alg": "SHA-256", "content": constant(fetch, "SHA256")}],
    }


def document() -> dict[str, Any]:
    """The whole of it."""
    own = package("tritongen", constant("__init__.py", "__version__"))
    own |= {"type": "application", "licenses": [{"license": {"id": "Apache-2.0"}}]}
    parts = list(packages())
    moment = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    content = json.dumps([own, parts], sort_keys=True)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, content)}",
        "version": 1,
        "metadata": {"timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": own},
        "components": parts,
        "dependencies": [{"ref": own["bom-ref"], "dependsOn": [one["bom-ref"] for one in parts]}],
    }


if __name__ == "__main__":
    print(json.dumps(document(), indent=1))
