"""Makes the environment that `make` works in, or says in one sentence why it cannot.

::

    environment.py                 whether the embedded Triton runs here, with this Python
    environment.py FOLDER EXTRA    an environment there, with this checkout and what EXTRA names

Python 3.6 must understand this file: a Python that is too old is told so by it.
"""

import hashlib
import importlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDS = ROOT / "pyproject.toml"
MINOR = re.compile(r"^ *\"Programming Language :: Python :: 3\.(\d+)\"", re.MULTILINE)
WHOLE = "dev"  # the extra that holds all the others
STAMP = ".ready"
# What leads pip to an index, by name only: the values may hold passwords.
SETTINGS = {
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY",
    "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_PROXY",
}  # fmt: skip


def unfit(version: tuple) -> str:
    """Why this version of Python will not do, with the fix; empty when it will."""
    fit = [(3, int(minor)) for minor in MINOR.findall(NEEDS.read_text(encoding="utf-8"))]
    if version in fit:
        return ""
    fault = "too old" if version < fit[0] else "newer than the embedded Triton supports"
    names = ["{}.{}".format(*each) for each in fit]
    return (
        "Python {}.{} ({}) is {}: install Python {} or {} and name it, for example "
        "`make demo PYTHON=python{}`."
    ).format(*version, sys.executable, fault, ", ".join(names[:-1]), names[-1], names[-1])


def lacking_modules() -> list:
    """What this Python lacks to make an environment, each with its fix."""
    try:
        importlib.import_module("venv")
        importlib.import_module("ensurepip")
    except ImportError:
        fix = f"on Debian and Ubuntu, apt-get install python3.{sys.version_info[1]}-venv."
        return [f"{sys.executable} has no modules to make an environment with: {fix}"]
    return []


def lacking_machine() -> list:
    """What the embedded Triton lacks on this machine, each with its fix."""
    # The package itself knows, and needs no other one to tell.
    sys.path.insert(0, str(ROOT / "generator"))
    from tritongen.model.findings import Severity
    from tritongen.serving.embedded.embedded_preflight import machine_findings

    faults = [item for item in machine_findings() if item.severity is Severity.ERROR]
    return [f"{item.message}: {item.fix}" for item in faults]


def pip(environment: Path, *arguments: str) -> list:
    """The command line of an environment's pip."""
    python = environment / "bin" / "python"
    return [str(python), "-P", "-m", "pip", *arguments, "--quiet", "--no-input"]


def check_index(environment: Path) -> None:
    """Ends with a sentence, and pip's own last lines, when pip reaches no package index."""
    command = pip(environment, "download", "--no-deps", "--retries=1", "--timeout=10")
    with tempfile.TemporaryDirectory() as folder:
        # hatchling is what an installation of this checkout asks for first.
        done = subprocess.run(
            [*command, "--only-binary=:all:", "--dest", folder, "hatchling"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        given = ", ".join(sorted(name for name in os.environ if name.upper() in SETTINGS))
        fix = (
            f"check the network, and what {given} and pip's configuration name"
            if given
            else "check the network, and set https_proxy or PIP_INDEX_URL where they are needed"
        )
        lines = done.stdout.decode(errors="replace").strip().splitlines()[-3:]
        sys.exit("\n  ".join((f"pip reaches no package index: {fix}. pip says:", *lines)))


def identity(folder: Path) -> str:
    """Which Python an environment is of, and where it lies: what no installation changes."""
    version = ".".join(str(number) for number in sys.version_info[:2])
    return f"Python {version} of {sys.base_prefix} in {folder.resolve()}"


def create(folder: Path) -> None:
    """An environment of this Python with nothing but pip in it, in the place of an older one."""
    # Only an environment is emptied, never a folder that was named by mistake.
    clear = ["--clear"] if (folder / "pyvenv.cfg").is_file() else []
    command = [sys.executable, "-I", "-m", "venv", *clear, str(folder)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"the environment {folder} cannot be made; the reason stands above")


def install(environment: Path, extra: str) -> None:
    """Installs this checkout, with the packages that an extra of it names, by their hashes.

    PyTorch alone has none, for its builds differ by index; its files are not built here either.
    """
    print(f"installing tritongen[{extra}] into {environment}", flush=True)
    named = [part for path in locked(extra) for part in ("--requirement", str(path))]
    own = [] if extra == WHOLE else ["--no-deps"]
    for command in (
        pip(environment, "install", "--require-hashes", "--only-binary=:all:", *named),
        # What builds it stands among the packages.
        pip(
            environment, "install", "--no-build-isolation", *own, "--only-binary=:all:",
            "--editable", f"{ROOT}[{extra}]",
        ),
    ):  # fmt: skip
        if subprocess.run(command, check=False).returncode:
            sys.exit("pip could not install the packages; the reason stands above")


def locked(extra: str) -> list:
    """The files that name what an extra takes, written by scripts/lock.sh."""
    return [ROOT / "requirements" / f"{name}.txt" for name in ("build", extra)]


def complete(folder: Path, extra: str) -> None:
    """Makes an environment what is asked for; quick when it is that already.

    One of another Python, one that was moved, and one that was never finished are made anew.
    """
    mine = identity(folder)
    read = b"".join(path.read_bytes() for path in (NEEDS, *locked("onnx"), *locked(WHOLE)))
    digest = hashlib.sha256(read).hexdigest()
    stamp = folder / STAMP
    lines = stamp.read_text(encoding="utf-8").splitlines() if stamp.is_file() else []
    made, held, of = [*lines, "", "", ""][:3]
    if made != mine:
        if made:
            print(f"making {folder} anew: it was made by {made}, not by {mine}", flush=True)
            with tempfile.TemporaryDirectory() as apart:  # the old one stays until an index answers
                create(Path(apart))
                check_index(Path(apart))
        create(folder)
    elif held in {extra, WHOLE}:
        if of == digest:
            return
        extra = held
    check_index(folder)
    if stamp.is_file():
        stamp.unlink()
    install(folder, extra)
    stamp.write_text(f"{mine}\n{extra}\n{digest}\n", encoding="utf-8")


def main(arguments: list) -> None:
    """Ends with a sentence for each thing that is lacking."""
    fault = unfit(sys.version_info[:2])
    if fault:
        sys.exit(fault)
    faults = lacking_modules() if arguments else lacking_modules() + lacking_machine()
    if faults:
        sys.exit("\n".join(faults))
    if arguments:
        complete(Path(arguments[0]), arguments[1])


if __name__ == "__main__":
    main(sys.argv[1:])
