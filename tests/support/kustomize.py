"""What Kustomize makes of exported folders: the real one, in the image of the tests' gateway."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from support.export_stack import docker, gateway_image

_MARK = "# root: "


def kustomized(folder: Path, roots: Sequence[str]) -> dict[str, list[Any]]:
    """Documents by folder.

    Args:
        folder: that holds all of them.
        roots: folders with a kustomization, relative to it.
    """
    script = "; ".join(
        f"echo '---'; echo '{_MARK}{one}'; kustomize build /files/{one}" for one in roots
    )
    text = docker(
        "run",
        "--rm",
        "--user",
        "0:0",
        f"--volume={folder}:/files:ro",
        gateway_image(),
        "sh",
        "-ec",
        script,
    )
    made: dict[str, list[Any]] = {}
    for part in text.split(_MARK)[1:]:
        root, _, documents = part.partition("\n")
        made[root] = [one for one in yaml.safe_load_all(documents) if one]
    return made


def put_together(folder: Path, name: str, base: str, overlays: Sequence[str]) -> str:
    """A kustomization of a user's own: an export with some of its overlays; gives its folder."""
    own = folder / name
    own.mkdir()
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../{base}"],
        "components": [f"../{base}/overlays/{one}" for one in overlays],
    }
    (own / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return name
