"""The command line: one file per command."""

from tritongen.cli.main import main

__all__ = ["main"]
