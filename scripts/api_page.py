"""Writes docs/api.md from the signatures and docstrings of `tritongen.api`; `--check` compares."""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

from tritongen import api

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
HEADINGS = {"Args": "Takes", "Attributes": "Has", "Raises": "Raises"}
INTRO = """\
# Python API

Generated from the signatures and docstrings of `tritongen.api` by `python scripts/api_page.py`.

The commands as typed functions, for notebooks, services and tests. The command line calls nothing
else for the commands that are here:

```python
from tritongen import api
from tritongen.errors import TritongenError

try:
    built = api.build("models", api.BuildRequest(cpus=4))
    checked = api.check("model_repository", strict=True)
except TritongenError as problem:
    print(problem.code, problem, problem.fix)
else:
    print([model["name"] for model in built.to_dict()["models"]], checked.exit_code)
```

A measurement plotted with matplotlib: [a probe in a notebook](notebook.ipynb).

- A result is frozen. `to_dict()` is the document that the command prints with `--format json`, as
  plain values, and `exit_code` what the command tells its caller: an `ExitCode` of
  `tritongen.errors`. `client` has no such document of its command; its result has one all the same.
- What goes wrong is an exception of `tritongen.errors`, each with a stable `code` ([all of
  them](codes.md)), `where` and a `fix`: `InvalidInputError` for what was given,
  `EnvironmentProblem` for the machine. Findings are results, not exceptions.
- Nothing is printed. What is done and decided goes to the loggers below `tritongen`; nobody sees it
  who has given them no handler. `progress` takes a function of `(what, done, total)`: `total` is 0
  where nobody knows it, and `what` is empty where the last one has ended.
- Code of the models folder runs as it does for the commands, in [the sandbox](trust.md);
  `untrusted=True` forbids it. The variables `TRITONGEN_UNTRUSTED` and `TRITONGEN_TOKEN` are the
  command line's alone.
- `StrPath` is `str | os.PathLike[str]`, and `DEFAULT_REPOSITORY` is `model_repository`.
- Relative paths and the folder `.tritongen`, in which the tool remembers where models lie, are
  those of the current folder.

## What stays as it is

Covered from one minor release to the next: what `tritongen.api` exports, as it stands on this page;
names, meaning and defaults of arguments and of fields of `BuildRequest`, `PlanOptions` and
`TuneOptions`;
`to_dict()` under its `schema_version`, to which keys may be added; `exit_code`, `findings` and the
codes. New arguments come with a default that leaves everything as it was, and by name. The
types that `ProbeRequest` and `LoadSearch` are made of are provisional.

Not covered: every other module of `tritongen`; the objects that a result holds beside that
(`InspectedModel`, `BuildResult`, `FleetPlan`, …) and what they hold; the words of messages,
findings and log lines.

What is to go is named in CHANGELOG.md under *Deprecated* and raises a
`DeprecationWarning` for at least one minor release before it goes."""


def page() -> str:
    """Functions first, then what they take and return."""
    members = [getattr(api, name) for name in api.__all__]
    functions = [item for item in members if inspect.isfunction(item)]
    lines = [INTRO, "", "## Functions"]
    for item in functions:
        lines += ["", f"### {item.__name__}", *_described(item, _signature(item))]
    lines += ["", "## Classes"]
    for item in members:
        if inspect.isclass(item):
            lines += ["", f"### {item.__name__}", *_described(item, _fields(item))]
    return "\n".join(lines) + "\n"


def _node(item: type | FunctionType) -> tuple[ast.FunctionDef | ast.ClassDef, list[str]]:
    lines = textwrap.dedent(inspect.getsource(item)).splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith(("def ", "class ")))
    for node in ast.parse("\n".join(lines[begin:])).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            return node, lines[begin:]
    raise ValueError(f"{item} has no source")


def _signature(function: FunctionType) -> list[str]:
    """As it stands in the source, without its docstring and remarks for linters."""
    node, lines = _node(function)
    return [re.sub(r"  # noqa.*", "", line) for line in lines[: node.body[0].lineno - 1]]


def _fields(kind: type) -> list[str]:
    """Fields and public properties and methods, as they stand in the source."""
    node, lines = _node(kind)
    fields = [
        lines[item.lineno - 1].strip() for item in node.body if isinstance(item, ast.AnnAssign)
    ]
    return fields + [
        f"{item.name}{'' if item.decorator_list else '()'}: {ast.unparse(item.returns)}"
        for item in node.body
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and item.returns
    ]


def _described(item: object, shown: list[str]) -> Iterator[str]:
    """The docstring, with the code shown after its first paragraphs."""
    text, *sections = re.split(r"^(\w+):$\n", inspect.getdoc(item) or "", flags=re.MULTILINE)
    yield from ("", text.strip(), "")
    if shown:
        yield from ("```python", *shown, "```")
    for name, body in zip(sections[::2], sections[1::2], strict=True):
        entries = re.split(r"\n(?=\S)", textwrap.dedent(body).strip())
        yield from ("", f"{HEADINGS[name]}:", "")
        yield from (f"- {_entry(entry)}" for entry in entries)


def _entry(text: str) -> str:
    name, _, what = " ".join(text.split()).partition(": ")
    return f"`{name}`: {what.replace('``', '`')}"


def main() -> int:
    """Write the page, or tell whether it is up to date."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.stderr.write("docs/api.md is not up to date: python scripts/api_page.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
