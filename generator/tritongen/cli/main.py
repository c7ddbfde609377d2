"""Placeholder wiring until the commands stand."""


def main() -> int:
    """Entry point of the console script."""
    return 0
