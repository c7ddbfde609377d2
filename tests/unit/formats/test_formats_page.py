"""The page of formats says what the registry says."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "formats_page.py"


def test_the_page_is_up_to_date():
    found = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
