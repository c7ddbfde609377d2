"""A `model.py` of the python backend: what it says of itself in literals, found in its syntax."""

import ast
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from tritongen.formats.parsing.python_source import calls_of, parse_python
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.python_environment import packed_environments
from tritongen.formats.reading import ModelSource
from tritongen.model.facts import NAMED_LATER, FileRef, ModelFacts, ModelVersion, PythonFacts
from tritongen.model.findings import Severity
from tritongen.model.tensors import DType, TensorSpec, shape_of_dims
from tritongen.system.paths import read_head

# Chosen: no module written by a person has it; parsed, one takes many times its size in memory.
_MAX_SOURCE_BYTES = 4 << 20
# Chosen: files beside a model that are looked at.
_MAX_FILES = 10_000

_Literals = Mapping[str, object]
CLASS_NAME = "TritonPythonModel"
# Chosen: far more than a module written by a person; the class stands in it, not behind it.
_MAX_SEARCHED_BYTES = 1 << 20
_CLASS = re.compile(rb"^\s*class\s+TritonPythonModel\b", re.MULTILINE)


def read_python_model(source: ModelSource) -> ModelFacts:
    """The facts of one file; nothing in it is run.

    Raises:
        DamagedError: TG102, it is no Python that this interpreter can parse.
        OSError: it cannot be opened.
    """
    tree = parse_python(read_head(source.file, _MAX_SOURCE_BYTES + 1), _MAX_SOURCE_BYTES)
    model = _model_class(tree)
    if model is None:
        raise DamagedError(f"the file defines no class {CLASS_NAME}")
    literals = _literals(tree)
    completing = _method(model, "auto_complete_config")
    files = tuple(_beside(source))
    packed = packed_environments(source, files)
    facts = PythonFacts(
        decoupled=_decoupled(completing, literals),
        max_batch_size=_max_batch_size(completing, literals),
        callees=tuple(dict.fromkeys(_callees(tree, literals))),
        completes=completing is not None,
        sends=next(calls_of(tree, "get_response_sender"), None) is not None,
        environment=packed[0].target if len(packed) == 1 else "",
    )
    batched = (facts.max_batch_size or 0) > 0
    findings = []
    if _method(model, "execute") is None:
        findings.append(source.facts.finding("TG142", f"{CLASS_NAME} has no method execute()"))
    if facts.callees:
        message = f"it calls {', '.join(facts.callees)}"
        findings.append(source.facts.finding("TG141", message, severity=Severity.INFO))
    if len(packed) > 1:
        message = f"none of its packed environments is used: {', '.join(i.target for i in packed)}"
        findings.append(source.facts.finding("TG151", message, severity=Severity.WARNING))
    return replace(
        source.facts,
        versions=(ModelVersion(source.version, files),),
        beside=tuple(ref for ref in packed if len(packed) == 1 and "/" not in ref.target),
        inputs=tuple(_tensors(completing, "add_input", literals, batched)),
        outputs=tuple(_tensors(completing, "add_output", literals, batched)),
        python=facts,
        findings=tuple(findings),
    )


def _beside(source: ModelSource) -> Iterator[FileRef]:
    """Modules and data in the file's own folder: the model finds them there when it is served."""
    folder = source.file.parent
    if folder == source.root:
        return  # among other models
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if _belongs(name))
        found += [Path(place, name) for name in names if _belongs(name)]
    for path in sorted(found)[:_MAX_FILES]:
        relative = path.relative_to(folder).as_posix()
        if path != source.file and source.holds(path):
            size = path.stat().st_size
            yield FileRef(path.relative_to(source.root).as_posix(), relative, size)


def _belongs(name: str) -> bool:
    return not name.startswith(".") and name not in {"__pycache__", "config.pbtxt"}


def _model_class(tree: ast.AST) -> ast.ClassDef | None:
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return next((node for node in classes if node.name == CLASS_NAME), None)


def _method(model: ast.ClassDef, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    methods = (node for node in model.body if isinstance(node, kinds))
    return next((node for node in methods if node.name == name), None)


def _literals(tree: ast.AST) -> _Literals:
    """Names that are assigned one literal in the whole file."""
    found: dict[str, object] = {}
    several: set[str] = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1):
            continue
        target = node.targets[0]
        if isinstance(target, ast.Name):
            if target.id in found or target.id in several:
                several.add(target.id)
                found.pop(target.id, None)
                continue
            value = _value(node.value, {})
            if value is not None:
                found[target.id] = value
    return found


def _value(node: ast.expr, literals: _Literals) -> object:
    """A literal, or the literal of a name; None for everything else."""
    if isinstance(node, ast.Name):
        return literals.get(node.id)
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {
            key.value: _value(item, literals)
            for key, item in pairs
            if isinstance(key, ast.Constant)
        }
    try:
        found: object = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return found


def _arguments(node: ast.AST | None, name: str, literals: _Literals) -> Iterator[object]:
    """The first argument of each call of a function, where it is a literal; else None."""
    for call in calls_of(node, name):
        yield _value(call.args[0], literals) if call.args else None


def _tensors(
    node: ast.AST | None, method: str, literals: _Literals, batched: bool
) -> Iterator[TensorSpec]:
    """Tensors that are added with literal name, type and dims; the batch axis is put in front."""
    for entry in _arguments(node, method, literals):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            continue
        kind = str(entry.get("data_type") or "")
        dims = entry.get("dims")
        shape = None
        if isinstance(dims, list) and all(_is_size(dim) for dim in dims):
            rest = shape_of_dims(dims)
            shape = (None, *rest) if batched else rest
        yield TensorSpec(
            entry["name"],
            DType.from_config(kind),
            shape,
            declared_type=kind,
            optional=entry.get("optional") is True,
        )


def _is_size(value: object) -> bool:
    """Whether it is a number that a configuration can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def _max_batch_size(node: ast.AST | None, literals: _Literals) -> int | None:
    for value in _arguments(node, "set_max_batch_size", literals):
        if isinstance(value, int) and _is_size(value):
            return value
    return None


def _decoupled(node: ast.AST | None, literals: _Literals) -> bool | None:
    for value in _arguments(node, "set_model_transaction_policy", literals):
        if isinstance(value, dict) and isinstance(value.get("decoupled"), bool):
            return bool(value["decoupled"])
    return None


def _callees(tree: ast.AST, literals: _Literals) -> Iterator[str]:
    """Models that requests are made for."""
    for call in calls_of(tree, "InferenceRequest"):
        named = (item.value for item in call.keywords if item.arg == "model_name")
        value = next((_value(item, literals) for item in named), None)
        yield value if isinstance(value, str) else NAMED_LATER


def defines_triton_model(path: Path) -> bool:
    """Whether the file defines the class that Triton's python backend looks for.

    A file that does not parse counts when the class's line stands in it: it is meant to be one.

    Raises:
        OSError: it cannot be read.
    """
    text = read_head(path, _MAX_SEARCHED_BYTES)
    if not _CLASS.search(text):
        return False
    try:
        return _model_class(parse_python(text, _MAX_SEARCHED_BYTES)) is not None
    except DamagedError:
        return True
