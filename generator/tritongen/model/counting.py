"""Numbers of things in a sentence."""


def counted(number: float, unit: str) -> str:
    """A number with its unit, which has an s for all but one."""
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {unit}" if number == 1 else f"{shown} {unit}s"
