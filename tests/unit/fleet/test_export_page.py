"""The page of exports shows what `tritongen export` writes for the demo."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "export_page.py"


def test_the_page_is_up_to_date():
    found = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, f"run scripts/export_page.py\n{found.stderr}"
