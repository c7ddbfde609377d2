"""A hook of mkdocs: pages that stand elsewhere, or in another form, in the repository."""

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "notebook.ipynb"
OTHERS = ("CHANGELOG.md", "SECURITY.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    notebook = json.loads((ROOT / "docs" / NOTEBOOK).read_text(encoding="utf-8"))
    files.append(File.generated(config, "notebook.md", content=_notebook_page(notebook)))
    for name in OTHERS:
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Lead links to where the site has these pages."""
    return markdown.replace(f"({NOTEBOOK})", "(notebook.md)").replace("](../", "](")


def _notebook_page(document: dict[str, Any]) -> str:
    parts = []
    for cell in document["cells"]:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
        for output in cell.get("outputs", []):
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text'])}```")
            else:
                image = output["data"]["image/png"]
                parts.append(f"![what it draws](data:image/png;base64,{image})")
    return "\n\n".join(parts) + "\n"
