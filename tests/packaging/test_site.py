"""The documentation is a site that loads nothing from elsewhere; its reference is the code's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r"""<(?:script|img|iframe)[^>]+src=["']?(https?:)?//|<link[^>]+href=["']?(https?:)?//"""
)
LINK = re.compile(r'\bhref="([^"]*)"')
MARKDOWN_LINK = re.compile(r"\]\(([^)\s]*)\)")
URL = re.compile(r"\w+:|//|/")


def run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    run("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder))
    return folder


def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    foreign = [page.name for page in pages if LOADED.search(page.read_text())]
    assert not foreign
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs")).with_suffix(".html").exists()


def test_every_link_leads_somewhere(site):
    links = [
        (page, link)
        for pages, pattern in ((site.rglob("*.html"), LINK), (ROOT.glob("*.md"), MARKDOWN_LINK))
        for page in pages
        for link in pattern.findall(page.read_text())
        if not URL.match(link)
    ]
    assert len(links) > 1000
    broken = [
        f"{page.name}: {link}"
        for page, link in links
        if not (page.parent / link.partition("#")[0]).exists()
    ]
    assert broken == []


def test_the_reference_pages_are_up_to_date():
    run("scripts/reference_pages.py", "--check")
    run("scripts/api_page.py", "--check")
    run("scripts/json_page.py", "--check")


def test_the_notebook_is_a_page_with_what_it_draws(site):
    text = (site / "notebook.html").read_text()
    assert text.count('src="data:image/png;base64,') == 2
    assert "UNSTABLE" in text or "VALID" in text


def test_the_readme_is_short_and_shows_the_smallest_use_first():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    assert next(line for line in lines if "$ tritongen" in line).startswith("$ tritongen build")
