"""What git leaves in a file that two changes met in."""

CODE = "TG710"
IN_A_GENERATED_FILE = (
    "Take one side (`git checkout --ours PATH`), merge tritongen.yaml by hand, and run `tritongen "
    "build`, which writes what belongs to both; `--force` where it takes the other side's "
    "configuration for a hand edit."
)


def merge_marks(text: str) -> str:
    """That a text is the rest of a merge, with the line; empty where it is none."""
    begin = 0 if text.startswith("<<<<<<< ") else text.find("\n<<<<<<< ") + 1
    middle = text.find("\n=======", begin)
    if not text.startswith("<<<<<<< ", begin) or middle < 0 or text.find("\n>>>>>>> ", middle) < 0:
        return ""
    line = text.count("\n", 0, begin) + 1
    return f"line {line}: the conflict of a merge is not resolved"
