"""What git leaves in a file that two changes met in."""

import shlex
from pathlib import PurePath

CODE = "TG710"


def merge_marks(text: str) -> str:
    """That a text is the rest of a merge, with the line; empty where it is none."""
    begin = 0 if text.startswith("<<<<<<< ") else text.find("\n<<<<<<< ") + 1
    middle = text.find("\n=======", begin)
    if not text.startswith("<<<<<<< ", begin) or middle < 0 or text.find("\n>>>>>>> ", middle) < 0:
        return ""
    line = text.count("\n", 0, begin) + 1
    return f"line {line}: the conflict of a merge is not resolved"


def rebuild(path: PurePath | str) -> str:
    """What mends a generated file that two changes met in, or the folder that holds it."""
    command = f"git checkout HEAD -- {shlex.quote(str(path))} && tritongen build"
    return (
        f"Run `{command}`: it takes your side's measurements (MERGE_HEAD in place of HEAD takes "
        "the other's) and writes what belongs to both. Resolve tritongen.yaml first where it has "
        "conflicts, too."
    )
