"""Lays the wheel's Triton and this project's backends out as the official image does.

Runs while the image is built, with the package itself on PYTHONPATH: the image serves with exactly
what the embedded runtime serves with.
"""

import shutil
from pathlib import Path

from tritongen.serving.embedded.fetch import ensure_triton
from tritongen.serving.embedded.layout import build_layout

CACHE = Path("/build/cache")
WHEEL = Path("/build/wheel")
ROOT = Path("/opt/tritonserver")


def main() -> None:
    """Copy program, libraries, caches and backends into place."""
    (wheel,) = WHEEL.glob("*.whl")
    home = ensure_triton(CACHE, wheel)
    layout = build_layout(home, CACHE)
    (ROOT / "bin").mkdir(parents=True)
    shutil.copy(home.executable, ROOT / "bin/tritonserver")
    # The wheel's libpython gives way to the one of the image's Python, as in the layout.
    own = {path.name: path.resolve() for path in layout.libraries.iterdir()}
    shutil.copytree(home.libraries, ROOT / "lib", ignore=shutil.ignore_patterns(*own))
    for name, path in own.items():
        (ROOT / "lib" / name).symlink_to(path)
    shutil.copytree(home.caches, ROOT / "caches")
    shutil.copytree(layout.backends, ROOT / "backends")
    for licence in sorted(home.folder.glob("*.dist-info/licenses/**/*")):
        if licence.is_file():
            (ROOT / "licenses").mkdir(exist_ok=True)
            shutil.copy(licence, ROOT / "licenses" / licence.name)


if __name__ == "__main__":
    main()
