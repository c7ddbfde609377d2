"""Writes the table of ONNX Runtime's wheels for the releases of Triton, from PyPI's index.

One request for the page of the package. Each row names a wheel: version, Python, machine, SHA-256.
"""

import json
import re
import urllib.request

from tritongen.model.releases import RELEASES
from tritongen.trial.target_library import TABLE

PAGE = "https://pypi.org/simple/onnxruntime/"
# The versions of Python that tritongen works with.
WHEEL = re.compile(r"onnxruntime-([\d.]+)-cp(31[123])-cp\2-manylinux.*_(x86_64|aarch64)\.whl")


def main() -> None:
    """Write the table."""
    asked = urllib.request.Request(PAGE, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310  (a constant address)
        files = json.load(answer)["files"]
    wanted = {release.onnxruntime for release in RELEASES}
    rows = [
        (*found.groups(), file["hashes"]["sha256"])
        for file in files
        if (found := WHEEL.fullmatch(file["filename"])) and found[1] in wanted
    ]
    rows.sort(key=lambda row: ([int(part) for part in row[0].split(".")], row[1:]))
    lines = ["\t".join(row) for row in (("version", "python", "machine", "sha256"), *rows)]
    TABLE.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
