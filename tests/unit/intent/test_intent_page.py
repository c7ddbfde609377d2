"""The reference page of `tritongen.yaml` says what its keys are declared as."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "intent_page.py"


def test_the_page_is_up_to_date() -> None:
    found = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
