"""The documentation is a site that loads nothing from elsewhere; its reference is the code's."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r"""<(?:script|img|iframe)[^>]+src=["']?(https?:)?//|<link[^>]+href=["']?(https?:)?//"""
)


def run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    run("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path))
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 20
    foreign = [page.name for page in pages if LOADED.search(page.read_text())]
    assert not foreign
    for page in (ROOT / "docs").rglob("*.md"):
        assert (tmp_path / page.relative_to(ROOT / "docs")).with_suffix(".html").exists()


def test_the_reference_pages_are_up_to_date():
    run("scripts/reference_pages.py", "--check")
    run("scripts/api_page.py", "--check")


def test_the_readme_is_short_and_shows_the_smallest_use_first():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    assert next(line for line in lines if "$ tritongen" in line).startswith("$ tritongen build")
