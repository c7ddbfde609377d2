"""Writes the table of ONNX Runtime's wheels for the releases of Triton, from a package index.

    python scripts/onnxruntime_wheels.py ADDRESS

ADDRESS is that of the index that pip uses, as it stands in `pip config list`. One request for the
page of the package. Each row names a wheel: version, Python, machine, SHA-256.
"""

import json
import re
import sys
import urllib.request

from tritongen.model.releases import RELEASES
from tritongen.trial.target_library import TABLE

# The versions of Python that tritongen works with.
WHEEL = re.compile(r"onnxruntime-([\d.]+)-cp(31[123])-cp\2-manylinux.*_(x86_64|aarch64)\.whl")


def main() -> None:
    """Write the table."""
    if len(sys.argv) != 2 or not sys.argv[1].startswith("https://"):
        sys.exit("name the package index: onnxruntime_wheels.py https://HOST/PATH")
    page = f"{sys.argv[1].rstrip('/')}/onnxruntime/"
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    asked = urllib.request.Request(page, headers=accept)  # noqa: S310  (checked above)
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310  (checked above)
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
