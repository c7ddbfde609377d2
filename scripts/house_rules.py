"""Rules of the house that no off-the-shelf linter knows; run by `make check`.

Sizes of files and functions, who reads what the kernel tells, and what a test may not do: be
skipped, mock what can run, or hold a measured time against a number.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 400
FUNCTION_LINES = 50
FORBIDDEN_IN_TESTS = {
    "skip": "a skipped test is a failed promise",
    "skipif": "a skipped test is a failed promise",
    "xfail": "a test that may fail proves nothing",
    "importorskip": "a skipped test is a failed promise",
    "mock": "run the real part",
    "MagicMock": "run the real part",
    "Mock": "run the real part",
    "patch": "run the real part",
}
# Tokens that hold no code.
EMPTY = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE,
    tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip
# Longer than the rule, each with its reason.
EXCEPTIONS: dict[str, str] = {}
# Only `system` reads these.
KERNEL_FILES = ("/proc", "/sys/fs/cgroup")
SYSTEM = "generator/tritongen/system/"
# Files that name them all the same, each with its reason.
KERNEL_FILE_EXCEPTIONS = {
    "generator/tritongen/serving/docker/container_settings.py": "folders of a container",
    "generator/tritongen/serving/embedded/hidden_arguments.py": "writes to its own child's memory",
    "generator/tritongen/serving/embedded/launcher.py": "runs by itself, without the package",
    "generator/tritongen/serving/backends/onnxruntime/ort_backend/signature.py": "in Triton",
}


def sources(*folders: str) -> Iterator[Path]:
    """Python files below the folders."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def size_faults(path: Path, tree: ast.Module, text: str) -> Iterator[str]:
    """Files and functions that have grown too long."""
    name = path.relative_to(ROOT).as_posix()
    lines = text.count("\n")
    if lines > FILE_LINES and name not in EXCEPTIONS:
        yield f"{name}: {lines} lines, the limit is {FILE_LINES}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES and f"{name}:{node.name}" not in EXCEPTIONS:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines, not {FUNCTION_LINES}"


def kernel_file_faults(path: Path, tree: ast.Module) -> Iterator[str]:
    """Code of the package that reads for itself what `system` reads for all."""
    name = path.relative_to(ROOT).as_posix()
    if name.startswith(SYSTEM) or name in KERNEL_FILE_EXCEPTIONS:
        return
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and value.startswith(KERNEL_FILES):
            yield f"{name}:{node.lineno}: only {SYSTEM} reads {value}"


def test_faults(path: Path, tree: ast.Module) -> Iterator[str]:
    """What a test may not do."""
    name = path.relative_to(ROOT).as_posix()
    for node in ast.walk(tree):
        word = ""
        if isinstance(node, ast.Attribute) and _of_pytest(node.value):
            word = node.attr
        elif isinstance(node, ast.ImportFrom):
            words = {*(node.module or "").split("."), *(alias.name for alias in node.names)}
            word = next((item for item in sorted(words) if item in FORBIDDEN_IN_TESTS), "")
        if word in FORBIDDEN_IN_TESTS:
            line = getattr(node, "lineno", 0)
            yield f"{name}:{line}: {word}: {FORBIDDEN_IN_TESTS[word]}"


def code_lines(tree: ast.Module, text: str) -> int:
    """Lines that are not blank, a comment, or a text that stands alone as a docstring does."""
    texts: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            texts.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in EMPTY:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - texts)


def size_of_the_package() -> str:
    """How large the package is, and how many of its class names stand for more than one thing."""
    lines, files, classes = 0, 0, Counter[str]()
    for path in sources("generator"):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        lines, files = lines + code_lines(tree, text), files + 1
        classes.update(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    twice = sum(count > 1 for count in classes.values())
    return f"{lines:,} lines of code in {files} files; {twice} class names used twice"


def _of_pytest(node: ast.expr) -> bool:
    """Whether an attribute is read from `pytest`, `pytest.mark` or `mock`."""
    if isinstance(node, ast.Attribute):
        return node.attr == "mark"
    return isinstance(node, ast.Name) and node.id in {"pytest", "mock", "mocker", "unittest"}


def main() -> int:
    """Print every fault; 1 when there is one."""
    faults: list[str] = []
    for path in sources("generator", "tests", "benchmarks", "scripts", "demo"):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        faults += size_faults(path, tree, text)
        top = path.relative_to(ROOT).parts[0]
        if top == "tests":
            faults += test_faults(path, tree)
        elif top == "generator":
            faults += kernel_file_faults(path, tree)
    print("\n".join(faults) if faults else f"house rules: fine ({size_of_the_package()})")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
