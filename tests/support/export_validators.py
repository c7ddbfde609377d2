"""Runs in an environment of its own: prints the faults that real validators find, as JSON.

python export_validators.py kubernetes FILE…
python export_validators.py azureml-endpoint|azureml-deployment FILE…
"""

import json
import logging
import sys
from pathlib import Path


def kubernetes(path: Path) -> list[str]:
    """What kubernetes-validate says in its strict mode."""
    import kubernetes_validate
    import yaml

    faults = []
    for document in yaml.safe_load_all(path.read_text()):
        version = kubernetes_validate.latest_version()
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as fault:
            faults.append(f"{document['kind']}: {list(fault.path)}: {fault.message}")
    return faults


def azureml(kind: str, path: Path) -> list[str]:
    """What azure-ai-ml says when it loads a file."""
    from azure.ai.ml import load_online_deployment, load_online_endpoint

    load = load_online_endpoint if kind == "azureml-endpoint" else load_online_deployment
    try:
        load(path)
    except Exception as fault:  # noqa: BLE001  (whatever it is, it is a fault of the file)
        return [f"{type(fault).__name__}: {fault}"]
    return []


def main() -> None:
    """Each file's faults."""
    logging.disable(logging.CRITICAL)
    found = {}
    for word in sys.argv[1:]:
        kind, _, name = word.partition(":")
        path = Path(name)
        found[name] = kubernetes(path) if kind == "kubernetes" else azureml(kind, path)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
