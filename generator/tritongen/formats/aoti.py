"""AOT Inductor packages: shapes from the generated source that lies beside the compiled code."""

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace

from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.parsing.zip_archives import Archive
from tritongen.formats.reading import ModelSource
from tritongen.formats.torch_archive import dangers, root_of
from tritongen.model.facts import ModelFacts, TorchFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.tensors import Dim, DType, TensorSpec

# Chosen: far more than the compiler's wrapper of a model, and than its metadata.
_MAX_SOURCE_BYTES = 32 << 20
_MAX_JSON_BYTES = 1 << 20
_FOLDER = "data/aotinductor/"
# A stranger's source: each expression goes through it once, and no number is longer than its use.
_SPEC = re.compile(r'\b(in|out)_spec_ = R"\(')
_DTYPE = re.compile(r"_expected_dtype = aoti_torch_dtype_(\w+)\(\)")
_FIXED = re.compile(r"if \((\d{1,18}) != \w+_size\[(\d{1,2})\]\)")
_OPEN = re.compile(r"if \(\w+_size\[(\d{1,2})\] [<>] \d+\)")
_CHECK = re.compile(r"\bstatic void check_input_(\d{1,9})\(")
# PyTorch names element types as numpy does.
_DTYPES = {dtype.numpy_name: dtype for dtype in DType if dtype is not DType.BYTES}
_COMPILE = (
    "Compile it: torch._inductor.aoti_compile_and_package(torch.export.load(…)), or export it to "
    "ONNX."
)


def read_aoti(source: ModelSource) -> ModelFacts:
    """The facts of one package.

    Raises:
        DamagedError: TG102, it is no archive.
        OSError: it cannot be opened.
    """
    with Archive(source.file) as archive:
        folder = root_of(archive) + _FOLDER
        inside = [entry for entry in archive.entries if entry.filename.startswith(folder)]
        if not inside:
            return source.facts.refused(
                "TG105",
                "an exported program that is not compiled: Triton loads AOT Inductor packages",
                fix=_COMPILE,
            )
        text = _source(archive, inside)
        inputs = _inputs(text)
        platform = _platform(archive, inside)
        return replace(
            source.facts,
            inputs=inputs,
            outputs=_outputs(text),
            weight_bytes=sum(
                entry.file_size for entry in inside if not entry.filename.endswith(".cpp")
            ),
            torch=TorchFacts(),
            producer=platform,
            findings=(*dangers(source, archive), *_remarks(source, inside, platform)),
        )


def _source(archive: Archive, inside: list[zipfile.ZipInfo]) -> str:
    wrappers = [entry for entry in inside if entry.filename.endswith(".wrapper.cpp")]
    try:
        source = archive.read(wrappers[0], _MAX_SOURCE_BYTES) if wrappers else b""
        return source.decode("utf-8", "replace")
    except DamagedError:
        return ""


def _inputs(text: str) -> tuple[TensorSpec, ...]:
    """Types and sizes that the generated code checks, under the names of the call's form."""
    checks: dict[int, str] = {}
    end = 0
    while (start := _CHECK.search(text, end)) and (end := text.find("\n}", start.end())) >= 0:
        checks[int(start[1])] = text[start.start() : end]
    names = _names(_specification(text, "in"), len(checks))
    return tuple(_input(name, checks.get(index, "")) for index, name in enumerate(names))


def _input(name: str, check: str) -> TensorSpec:
    dtype = _DTYPE.search(check)
    fixed = {int(match[2]): int(match[1]) for match in _FIXED.finditer(check)}
    dynamic = {int(match[1]) for match in _OPEN.finditer(check)}
    rank = max((*fixed, *dynamic), default=-1) + 1
    shape: tuple[Dim, ...] | None = tuple(fixed.get(axis) for axis in range(rank)) or None
    kind = _DTYPES.get(dtype[1]) if dtype else None
    return TensorSpec(name, kind, shape, declared_type=dtype[1] if dtype else "")


def _outputs(text: str) -> tuple[TensorSpec, ...]:
    spec = _specification(text, "out")
    if spec is None:
        return ()
    names = ["RESULT"] if _is_leaf(spec) else list(_leaves(spec, "RESULT"))
    return tuple(TensorSpec(name, None, None) for name in names)


def _specification(text: str, which: str) -> object:
    """The form of arguments or results, None when the source does not hold it."""
    start = next((match.end() for match in _SPEC.finditer(text) if match[1] == which), 0)
    end = text.find(')";', start, start + _MAX_JSON_BYTES)
    try:
        document = json.loads(text[start:end]) if 0 < start < end else None
    except (ValueError, RecursionError):
        return None
    return document[1] if isinstance(document, list) and len(document) > 1 else None


def _names(spec: object, count: int) -> list[str]:
    """``ARGS[0]``, ``KWARGS[name]`` and so on; ordinals where the form is not known."""
    children = _children(spec)
    if len(children) == 2:
        positional, keywords = children
        return [*_leaves(positional, "ARGS"), *_leaves(keywords, "KWARGS")]
    return [f"INPUT__{index}" for index in range(count)]


def _children(spec: object) -> list[object]:
    children = spec.get("children_spec") if isinstance(spec, dict) else None
    return children if isinstance(children, list) else []


def _is_leaf(spec: object) -> bool:
    return isinstance(spec, dict) and spec.get("type") is None


def _leaves(spec: object, name: str, depth: int = 0) -> Iterator[str]:
    if not isinstance(spec, dict) or depth > 16:
        return
    children = _children(spec)
    for key, child in zip(_keys(spec, len(children)), children, strict=False):
        inner = f"{name}[{key}]"
        if _is_leaf(child):
            yield inner
        else:
            yield from _leaves(child, inner, depth + 1)


def _keys(spec: dict[str, object], count: int) -> list[object]:
    if spec.get("type") == "builtins.dict":
        try:
            keys = json.loads(str(spec.get("context")))
        except (ValueError, RecursionError):
            keys = None
        if isinstance(keys, list) and len(keys) == count:
            return keys
    return list(range(count))


def _platform(archive: Archive, inside: list[zipfile.ZipInfo]) -> str:
    """What the package was compiled for, in its own words."""
    for entry in inside:
        if entry.filename.endswith("_metadata.json") and entry.file_size < _MAX_JSON_BYTES:
            try:
                document = json.loads(archive.read(entry, _MAX_JSON_BYTES))
            except (DamagedError, ValueError, RecursionError):
                continue
            if isinstance(document, dict):
                keys = ("AOTI_DEVICE_KEY", "AOTI_PLATFORM", "AOTI_MACHINE", "AOTI_CPU_ISA")
                return " ".join(str(document[key]) for key in keys if document.get(key))
    return ""


def _remarks(
    source: ModelSource, inside: list[zipfile.ZipInfo], platform: str
) -> Iterator[Finding]:
    if not any(entry.filename.endswith(".so") for entry in inside):
        yield source.facts.finding("TG102", "the package holds no compiled code")
    elif platform:
        message = f"compiled for {platform}; it runs on such machines only"
        fix = "Compile it on the kind of machine that serves it."
        yield source.facts.finding("TG140", message, severity=Severity.INFO, fix=fix)
