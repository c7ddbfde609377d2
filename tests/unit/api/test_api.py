"""`tritongen.api` as a whole: what it exports, and what is loaded for it."""

import subprocess
import sys

import pytest

from tritongen import api


@pytest.mark.parametrize("name", api.__all__)
def test_everything_that_is_exported_is_there(name):
    assert getattr(api, name).__name__ == name
    assert getattr(api, name).__doc__
    assert name in dir(api)


def test_what_is_not_exported_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'biuld'"):
        _ = api.biuld


def test_the_import_loads_no_room():
    program = "import sys, tritongen.api; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    ours = {name for name in run.stdout.decode().split() if name.startswith("tritongen")}
    assert ours == {"tritongen", "tritongen.api"}


def test_a_warning_goes_to_nobody_who_has_not_asked():
    program = (
        "import logging; from tritongen import api; api.ApiResult; "
        "logging.getLogger('tritongen.trial').warning('aloud')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")
