"""DALI's pipelines: serialised ones, and Python files that the server serialises itself."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace

from tritongen.formats.parsing.python_source import calls_of, last_name, parse_python
from tritongen.formats.reading import ModelSource
from tritongen.model.engine_facts import DaliFacts
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity
from tritongen.system.paths import read_head

# Chosen: no module written by a person has it.
_MAX_SOURCE_BYTES = 1 << 20
_AUTOSERIALIZE = re.compile(rb"^[ \t]*@(?:\w+\.)*autoserialize\b", re.MULTILINE)


def is_dali_module(head: bytes) -> bool:
    """Whether a Python file holds a pipeline that the backend serialises."""
    return _AUTOSERIALIZE.search(head) is not None


def read_dali(source: ModelSource) -> ModelFacts:
    """The facts of a serialised pipeline: what it takes and gives, the backend reads itself.

    Raises:
        OSError: it cannot be opened.
    """
    return replace(source.facts, producer="a serialised DALI pipeline")


def read_dali_python(source: ModelSource) -> ModelFacts:
    """The facts of a pipeline in Python; nothing in it is run.

    Raises:
        DamagedError: TG102, it is no Python that this interpreter can parse.
        OSError: it cannot be opened.
    """
    tree = parse_python(read_head(source.file, _MAX_SOURCE_BYTES + 1), _MAX_SOURCE_BYTES)
    marked = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    marked = [node for node in marked if _decorator(node, "autoserialize") is not None]
    sources = list(_sources(tree))
    facts = DaliFacts(
        batch_size=_batch_size(marked[0]) if marked else 0,
        inputs=tuple(name for name, _ in sources if name),
        incomplete=tuple(name for name, complete in sources if name and not complete),
    )
    return replace(
        source.facts,
        dali=facts,
        producer="a DALI pipeline in Python",
        findings=tuple(_faults(source, len(marked), sources)),
    )


def _decorator(node: ast.FunctionDef, name: str) -> ast.expr | None:
    return next((item for item in node.decorator_list if last_name(item) == name), None)


def _batch_size(pipeline: ast.FunctionDef) -> int:
    """The literal of `pipeline_def`, 0 where there is none."""
    made = _decorator(pipeline, "pipeline_def")
    for item in made.keywords if isinstance(made, ast.Call) else ():
        value = item.value.value if isinstance(item.value, ast.Constant) else None
        if item.arg in {"batch_size", "max_batch_size"} and type(value) is int and value > 0:
            return value
    return 0


def _sources(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Each external source's name, empty where no literal says it, and whether it is complete."""
    for call in calls_of(tree, "external_source"):
        given = {item.arg: item.value for item in call.keywords}
        name = given.get("name")
        text = name.value if isinstance(name, ast.Constant) else None
        complete = {"dtype", "ndim"} <= set(given)
        yield (text if isinstance(text, str) else "", complete)


def _faults(
    source: ModelSource, pipelines: int, sources: list[tuple[str, bool]]
) -> Iterator[Finding]:
    tell = source.facts.finding
    if pipelines != 1:
        message = f"{pipelines} pipelines carry @autoserialize; the backend wants exactly one"
        yield tell("TG155", message)
    incomplete = [name or "an unnamed one" for name, complete in sources if not complete]
    if incomplete:
        message = f"external sources without dtype or ndim: {', '.join(incomplete)}"
        fix = "Give both in the pipeline, or write every input and output in config.pbtxt."
        yield tell("TG155", message, severity=Severity.WARNING, fix=fix)
    if any(not name for name, _ in sources):
        message = "an external source has no name: a request cannot feed it"
        yield tell("TG155", message, severity=Severity.WARNING, fix='Give it name="…".')
