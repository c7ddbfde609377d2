"""The wheel and the sdist of this checkout, and environments that hold the wheel alone."""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300.0


@dataclass(frozen=True)
class Installed:
    """An environment in which the wheel is installed, and a project folder outside the checkout.

    Attributes:
        python: of the environment.
        folder: where commands run.
    """

    python: Path
    folder: Path

    @property
    def tritongen(self) -> Path:
        """The installed command."""
        return self.python.with_name("tritongen")

    def run(self, *arguments: str | Path, expect: int = 0) -> str:
        """A program's standard output; its exit code must be the expected one."""
        done = subprocess.run(
            arguments,
            cwd=self.folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == expect, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def command(self, *arguments: str, expect: int = 0) -> str:
        """Standard output of the installed `tritongen`."""
        return self.run(self.tritongen, *arguments, expect=expect)

    def pip(self, *arguments: str) -> str:
        """What this Python's pip prints of the environment, which has none of its own."""
        return self.run(sys.executable, "-m", "pip", "--python", self.python, *arguments)

    def python_says(self, code: str) -> str:
        """What a program prints in the environment."""
        return self.run(self.python, "-c", code).strip()


def clean_environment() -> dict[str, str]:
    """This process's variables without those that lead Python to the checkout.

    Pip compiles nothing, of which the tests import little: that takes longer than to install it.
    """
    own = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME"}
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return {**kept, "PIP_COMPILE": "0"}


def make_package(source: Path, target: str, folder: Path) -> Path:
    """The wheel or sdist of a source folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=SECONDS)
    (found,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return found


def install(wheel: Path, extra: str, folder: Path, *, links: bool = True) -> Installed:
    """A fresh environment with the wheel and one of its extras, such as ``[onnx]``.

    Args:
        wheel: to install.
        extra: in brackets; empty for the base install.
        folder: for the environment and the project.
        links: whether its programs are links to this Python, or copies.
    """
    venv.create(folder / "env", symlinks=links)
    python = folder / "env" / "bin" / "python"
    (folder / "project").mkdir()
    environment = Installed(python, folder / "project")
    environment.pip("install", "--quiet", f"{wheel}{extra}")
    return environment
