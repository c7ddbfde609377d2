"""TorchScript archives: the signature from the source in them, weights from the pickle's text."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tritongen.formats.parsing.pickles import Made, Name, Pickle
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.parsing.zip_archives import Archive
from tritongen.formats.reading import ModelSource, ranked
from tritongen.formats.torch_archive import (
    PickledWeights,
    dangers,
    pickle_in,
    root_of,
    weight_bytes,
    weights_of,
)
from tritongen.model.facts import ModelFacts, TorchArgument, TorchFacts
from tritongen.model.findings import Finding
from tritongen.model.tensors import DType, TensorSpec

# Chosen: the arguments of `forward`, written out, have a few hundred.
_MAX_SIGNATURE_CHARACTERS = 64 << 10
# Chosen: far more than the source of one module.
_MAX_SOURCE_BYTES = 16 << 20
# Chosen: a number and a line end.
_MAX_VERSION_BYTES = 1 << 10
# Enough to guess what the first layer takes.
_FIRST_WEIGHTS = 6
_TEXTS = "List[str]"


@dataclass(frozen=True, slots=True)
class ForwardSignature:
    """What `forward` takes and gives; types as written, shortened to their last name.

    Attributes:
        arguments: without `self`.
        returns: type of the result.
        results: types of its members where it is a tuple, else the same alone.
    """

    arguments: tuple[TorchArgument, ...]
    returns: str
    results: tuple[str, ...]


def read_torchscript(source: ModelSource) -> ModelFacts:
    """The facts of one TorchScript file.

    Raises:
        DamagedError: TG102, it cannot be read as one.
        OSError: it cannot be opened.
    """
    with Archive(source.file) as archive:
        root = root_of(archive)
        data = pickle_in(archive, f"{root}data.pkl")
        constants = pickle_in(archive, f"{root}constants.pkl")
        if data is None:
            raise DamagedError("the archive holds no data.pkl")
        signature = _signature(archive, root, data)
        examples = _examples(archive, root)
        weights = weights_of((data.value, constants.value if constants else None))
        return replace(
            source.facts,
            inputs=_inputs(signature, examples),
            outputs=_outputs(signature),
            parameters=weights.counts.total(),
            weight_bytes=weight_bytes(archive),
            precisions=ranked(weights.counts),
            torch=TorchFacts(
                arguments=signature.arguments,
                returns=signature.returns,
                weights=tuple(
                    (name, tensor.label, tensor.shape)
                    for name, tensor in weights.tensors[:_FIRST_WEIGHTS]
                ),
                examples=tuple(tensor.shape for _, tensor in examples.tensors),
            ),
            producer=_producer(archive, root),
            findings=(
                *dangers(source, archive, data, constants),
                *_refusals(source, signature),
            ),
        )


def _producer(archive: Archive, root: str) -> str:
    entry = archive.get(f"{root}version")
    if entry is None:
        return ""
    try:
        text = archive.read(entry, _MAX_VERSION_BYTES).decode("ascii", "replace")
    except DamagedError:
        return ""
    version = text.partition("\n")[0].strip()
    return f"TorchScript archive version {version}" if version else ""


def _signature(archive: Archive, root: str, data: Pickle) -> ForwardSignature:
    outermost = data.value
    name = outermost.of if isinstance(outermost, Made) else None
    if not isinstance(name, Name) or not name.module.startswith("__torch__"):
        raise DamagedError("data.pkl does not describe a TorchScript module")
    path = f"{root}code/{name.module.replace('.', '/')}.py"
    entry = archive.get(path)
    if entry is None:
        raise DamagedError(f"the archive holds no {path}")
    text = archive.read(entry, _MAX_SOURCE_BYTES).decode("utf-8", "replace")
    found = forward_of(text, name.name)
    if found is None:
        raise DamagedError(f"{path} defines no forward() of {name.name}")
    return found


def _examples(archive: Archive, root: str) -> PickledWeights:
    """Inputs that the module was traced with, where the file keeps their description."""
    try:
        traced = pickle_in(archive, f"{root}traced_inputs.pkl")
    except DamagedError:
        return PickledWeights()
    return weights_of(traced.value) if traced is not None else PickledWeights()


def _inputs(signature: ForwardSignature, examples: PickledWeights) -> tuple[TensorSpec, ...]:
    plain = all(argument.type == "Tensor" for argument in signature.arguments)
    known = plain and len(examples.tensors) == len(signature.arguments)
    specs = []
    for index, argument in enumerate(signature.arguments):
        if argument.type.startswith("Dict["):
            continue  # its keys are the inputs; the user names them
        if argument.type == _TEXTS:
            specs.append(TensorSpec(argument.name, DType.BYTES, (None,), declared_type=_TEXTS))
        elif known:
            example = examples.tensors[index][1]
            shape = (None,) * len(example.shape)
            specs.append(
                TensorSpec(argument.name, example.dtype, shape, declared_type=example.label)
            )
        else:
            specs.append(TensorSpec(argument.name, None, None))
    return tuple(specs)


def _outputs(signature: ForwardSignature) -> tuple[TensorSpec, ...]:
    """``OUTPUT__0`` and so on, as many as the type of the result says; none when it is a class."""
    if any(type_ not in {"Tensor", _TEXTS} for type_ in signature.results):
        return ()
    return tuple(
        TensorSpec(f"OUTPUT__{index}", DType.BYTES, (None,), declared_type=_TEXTS)
        if type_ == _TEXTS
        else TensorSpec(f"OUTPUT__{index}", None, None)
        for index, type_ in enumerate(signature.results)
    )


def _refusals(source: ModelSource, signature: ForwardSignature) -> Iterator[Finding]:
    """Arguments and results that the backend cannot pass."""
    lone_dict = len(signature.arguments) == 1
    for argument in signature.arguments:
        tensors = argument.type in {"Tensor", _TEXTS}
        if not tensors and not (lone_dict and argument.type == "Dict[str, Tensor]"):
            message = f"argument {argument.name!r} of forward() is {argument.type}"
            fix = "A wrapper module can take tensors and build it."
            yield source.facts.finding("TG142", message, fix=fix)
    if not signature.arguments:
        yield source.facts.finding("TG142", "forward() takes no arguments")
    fix = "Return a tensor or a tuple of tensors."
    for type_ in signature.results:
        if type_.startswith(("Dict[", "List[", "Optional[")) and type_ != _TEXTS:
            yield source.facts.finding("TG142", f"forward() returns {signature.returns}", fix=fix)
            return
        if type_ in {"int", "float", "bool", "str", "NoneType", "None"}:
            message = f"forward() returns {signature.returns}, which holds no tensor"
            yield source.facts.finding("TG142", message, fix=fix)
            return


def forward_of(source: str, name: str) -> ForwardSignature | None:
    """The signature of one class's `forward`, None when there is none that can be read.

    Args:
        source: of the module that defines the class.
        name: of the class.
    """
    start = re.search(rf"^class {re.escape(name)}\(\w+\):", source, re.MULTILINE)
    if start is None:
        return None
    end = re.compile(r"^class ", re.MULTILINE).search(source, start.end())
    body = source[start.end() : end.start() if end else len(source)]
    found = re.search(r"^  def forward\(", body, re.MULTILINE)
    if found is None:
        return None
    text = _header(body[found.start() : found.start() + _MAX_SIGNATURE_CHARACTERS].lstrip())
    return _parsed(text) if text else None


def _header(text: str) -> str:
    """The text up to the colon that ends the signature."""
    depth = 0
    for position, char in enumerate(text):
        if char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == ":" and not depth:
            return text[:position]
    return ""


def _parsed(header: str) -> ForwardSignature | None:
    try:
        tree = ast.parse(f"{header}: pass")
        function = tree.body[0] if tree.body else None
        if not isinstance(function, ast.FunctionDef):
            return None
        arguments = [*function.args.posonlyargs, *function.args.args]
        return ForwardSignature(
            tuple(TorchArgument(item.arg, _text(item.annotation)) for item in arguments[1:]),
            _text(function.returns),
            _results(function.returns),
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # types that are nested without end are none


def _text(annotation: ast.expr | None) -> str:
    return "Tensor" if annotation is None else ast.unparse(annotation)


def _results(annotation: ast.expr | None) -> tuple[str, ...]:
    match annotation:
        case ast.Subscript(ast.Name("Tuple"), ast.Tuple(members)) if members:
            return tuple(ast.unparse(member) for member in members)
        case ast.Subscript(ast.Name("Tuple"), member):
            return (ast.unparse(member),)
    return (_text(annotation),)
