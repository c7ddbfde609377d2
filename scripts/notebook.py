"""Runs docs/notebook.ipynb in the current folder; `--write` keeps what its cells print and draw."""

import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook.ipynb"


def load() -> dict[str, Any]:
    """The notebook as it is kept."""
    document: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return document


def run(document: dict[str, Any]) -> None:
    """Run every cell of code in order, and put into it what came out."""
    import matplotlib as mpl

    mpl.use("agg")
    names: dict[str, Any] = {}
    for number, cell in enumerate(code_cells(document), 1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)  # noqa: S102  (the project's own notebook)
        cell["execution_count"] = number
        cell["outputs"] = [*_texts(printed.getvalue()), *_figures()]


def code_cells(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that are run."""
    return [cell for cell in document["cells"] if cell["cell_type"] == "code"]


def _texts(printed: str) -> list[dict[str, Any]]:
    lines = printed.splitlines(keepends=True)
    return [{"output_type": "stream", "name": "stdout", "text": lines}] if lines else []


def _figures() -> list[dict[str, Any]]:
    """The figures that a cell has left open, as PNG."""
    from matplotlib import pyplot as plt

    outputs = []
    for number in plt.get_fignums():
        image = io.BytesIO()
        plt.figure(number).savefig(image, dpi=80, metadata={"Software": None})
        data = {"image/png": base64.b64encode(image.getvalue()).decode()}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    plt.close("all")
    return outputs


def main() -> int:
    """Run it here; a cell that fails ends it with its traceback."""
    document = load()
    run(document)
    ran = code_cells(document)
    drawn = sum("data" in output for cell in ran for output in cell["outputs"])
    print(f"{len(ran)} cells ran and drew {drawn} figures")
    if "--write" in sys.argv[1:]:
        text = json.dumps(document, indent=1, ensure_ascii=False)
        NOTEBOOK.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
