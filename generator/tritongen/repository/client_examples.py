"""How to call a model: curl, Python with tritonclient, and an OpenAPI document."""

import json
import shlex
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pprint import pformat
from typing import Any
from urllib.parse import quote

from tritongen import __version__
from tritongen.errors import InvalidInputError
from tritongen.model.input_values import Values, ValueSource, parse_values
from tritongen.model.tensors import DType
from tritongen.repository.model_interface import (
    LLM_API,
    LLM_API_TOKENS,
    PROMPT,
    TEXT_INPUT,
    TEXT_OUTPUT,
    VLLM,
    CallTensor,
    ModelInterface,
)
from tritongen.resources import plain_template

# Chosen: an answer of some sentences.
_MAX_TOKENS = 128
_NUMPY_TYPES = {DType.BYTES: "object", DType.BOOL: "bool", DType.BF16: "np.float32"}
_JSON_TYPES = {DType.BYTES: "string", DType.BOOL: "boolean"}


class Language(StrEnum):
    """What an example is written in."""

    CURL = "curl"
    PYTHON = "python"
    PYTHON_ASYNC = "python-async"
    OPENAPI = "openapi"

    def file_name(self, model: str) -> str:
        """Where `client --write` puts it."""
        endings = {"curl": ".sh", "python": ".py", "python-async": "_async.py"}
        return model + endings[self] if self in endings else f"{model}.openapi.json"


def client_example(model: ModelInterface, language: Language, protocol: str, address: str) -> str:
    """One example, as it is run.

    Args:
        model: that it calls.
        language: of the example.
        protocol: ``http`` or ``grpc``; curl and OpenAPI speak HTTP alone.
        address: ``host:port`` of that protocol.

    Raises:
        InvalidInputError: TG371, the model cannot be called that way.
    """
    if protocol == "grpc" and language in {Language.CURL, Language.OPENAPI}:
        raise _impossible(f"{language} speaks HTTP", "Leave --protocol out, or use --lang python.")
    if model.engine and protocol == "http":
        return _generated(model, language, address)
    if language is Language.OPENAPI:
        return json.dumps(openapi_document([model], address), indent=2) + "\n"
    if model.decoupled and protocol == "http":
        raise _impossible(
            f"{model.name} may answer a request with any number of responses, and Triton's HTTP "
            "takes such models only where each answers once",
            "Use --lang python --protocol grpc.",
        )
    if language is Language.CURL:
        return _curl(model, address)
    arrays = {item.name: _expression(item) for item in model.sent}
    return plain_template(f"clients/{language.replace('-', '_')}.py.j2").render(
        model=model,
        protocol=protocol,
        address=address,
        arrays=arrays,
        random=any("rng." in text for text in arrays.values()),
        sizes={item.name: _size(item, model.max_batch_size) for item in model.sent},
    )


def _generated(model: ModelInterface, language: Language, address: str) -> str:
    """How a language model is asked over Triton's generate endpoints.

    Raises:
        InvalidInputError: TG371, the language has no form of it.
    """
    if language is Language.CURL:
        url = f"http://{address}/v2/models/{quote(model.name)}"
        whole, parts = (
            shlex.quote(json.dumps(generate_body(model.engine, stream=stream)))
            for stream in (False, True)
        )
        return (
            f"# The whole answer at once.\ncurl -sS {shlex.quote(f'{url}/generate')} -d {whole}\n"
            "# Part by part, as it comes.\n"
            f"curl -sSN {shlex.quote(f'{url}/generate_stream')} -d {parts}\n"
        )
    if language is Language.PYTHON:
        body = pformat(generate_body(model.engine, stream=True), sort_dicts=False)
        return plain_template("clients/generate.py.j2").render(
            model=model, address=address, body=body
        )
    if language is Language.OPENAPI:
        return json.dumps(openapi_document([model], address), indent=2) + "\n"
    raise _impossible(
        f"{model.name} sends its answer in parts, and tritonclient takes these over gRPC only",
        "Use --lang python, or --protocol grpc.",
    )


def generate_body(engine: str, *, stream: bool) -> dict[str, Any]:
    """The JSON of a request to a generate endpoint, which differs by what runs the model."""
    if engine == VLLM:
        said = {"stream": stream, "temperature": 0, "max_tokens": _MAX_TOKENS}
        return {TEXT_INPUT: PROMPT, "parameters": said}
    if engine == LLM_API:
        return {TEXT_INPUT: PROMPT, LLM_API_TOKENS: _MAX_TOKENS, "streaming": stream}
    return {TEXT_INPUT: PROMPT, "max_tokens": _MAX_TOKENS, "stream": stream}


def _impossible(what: str, fix: str) -> InvalidInputError:
    return InvalidInputError("TG371", what, fix=fix)


def _size(item: CallTensor, most: int) -> str:
    """Type and shape in words: ``FP32 [1 to 16, 3, any, any]``."""
    sizes = ["any" if size < 0 else str(size) for size in item.dims]
    rows = [f"1 to {most}" if most > 1 else "1"] if most > 0 else []
    return f"{item.dtype} [{', '.join(rows + sizes)}]"


def _expression(item: CallTensor) -> str:
    """Python that makes the sample, of the type that tritonclient takes."""
    dtype = _NUMPY_TYPES.get(item.dtype, f"np.{item.dtype.numpy_name}")
    sample = item.sample()
    if sample is not None:
        return f"np.array({_literal(sample)}, {dtype})"
    return _drawn(parse_values(item.recipe.description, item.dtype), item, dtype)


def _drawn(values: Values, item: CallTensor, dtype: str) -> str:
    """Python that draws values like those of the trial."""
    low, high, shape = values.low, values.high, item.shape
    match values.source:
        case ValueSource.INT:
            return f"rng.integers({low}, {high}, {shape}, endpoint=True).astype({dtype})"
        case ValueSource.FLOAT:
            return f"rng.uniform({low}, {high}, {shape}).astype({dtype})"
        case ValueSource.NORMAL:
            return f"rng.normal({low}, {high}, {shape}).astype({dtype})"
        case ValueSource.BOOL:
            return f"rng.integers(0, 2, {shape}).astype(bool)"
        case ValueSource.STRING:
            return f"np.full({shape}, {'x' * max(int(low), 1)!r}, object)"
        case ValueSource.CHOICE | ValueSource.CONST:
            first = values.items[0]
            return f"np.full({shape}, {first!r}, {dtype})"
        case ValueSource.ZEROS | ValueSource.ONES:
            return f"np.{values.source}({shape}, {dtype})"


def _literal(sample: Any) -> str:  # noqa: ANN401  (an array, or one of its elements)
    """Nested lists of the shortest numbers that give the same values."""
    if isinstance(sample, bytes):
        return repr(sample)
    if sample.ndim:
        return "[" + ", ".join(_literal(item) for item in sample) + "]"
    return str(sample)  # a float of 32 bits in as few digits as it takes


def _curl(model: ModelInterface, address: str) -> str:
    """A command line; tensors that are long or have no form in JSON follow it as bytes."""
    literal = all(item.has_json_form and item.sample() is not None for item in model.sent)
    body = request_body(model, as_bytes=not literal)
    text = json.dumps(body, separators=(",", ":"))
    url = shlex.quote(f"http://{address}/v2/models/{quote(model.name)}/infer")
    output = "" if all(item.has_json_form for item in model.outputs) else " -o response.bin"
    if literal:
        return f"curl -sS{output} {url} -d {shlex.quote(text)}\n"
    size = sum(item.elements * item.dtype.itemsize for item in model.sent)
    return (
        "# Zeros as a sample: put the inputs' own bytes, one after the other, in their place.\n"
        f"{{ printf %s {shlex.quote(text)}; head -c {size} /dev/zero; }} |\n"
        f"  curl -sS{output} {url} -H 'Inference-Header-Content-Length: {len(text.encode())}' "
        "--data-binary @-\n"
    )


def request_body(model: ModelInterface, *, as_bytes: bool = False) -> dict[str, Any]:
    """The JSON of a request with the sample.

    Args:
        model: that it is for.
        as_bytes: whether the numbers follow the JSON as bytes.
    """
    inputs = []
    for item in model.sent:
        entry: dict[str, Any] = {
            "name": item.name, "shape": list(item.shape), "datatype": str(item.dtype)
        }  # fmt: skip
        if as_bytes and item.dtype is not DType.BYTES:
            entry["parameters"] = {"binary_data_size": item.elements * item.dtype.itemsize}
        else:
            entry["data"] = _flat(item)
        inputs.append(entry)
    parameters: dict[str, Any] = {}
    if model.sequence:
        parameters = {"sequence_id": 1, "sequence_start": True, "sequence_end": True}
    if not all(item.has_json_form for item in model.outputs):
        parameters["binary_data_output"] = True
    return {**({"parameters": parameters} if parameters else {}), "inputs": inputs}


def _flat(item: CallTensor) -> list[Any]:
    sample = item.sample()
    if sample is None:
        return ["x" if item.dtype is DType.BYTES else 0] * item.elements
    return [
        one.decode("utf-8", "replace") if isinstance(one, bytes) else _short(one, item.dtype)
        for one in sample.ravel().tolist()
    ]


def _short(value: Any, dtype: DType) -> Any:  # noqa: ANN401  (a number or a truth value)
    """The shortest number that gives the same FP32."""
    import numpy as np

    return float(str(np.float32(value))) if dtype is DType.FP32 else value


def openapi_document(models: Iterable[ModelInterface], address: str) -> dict[str, Any]:
    """OpenAPI 3.1 of the models' inference over HTTP, as JSON.

    Models that answer any number of times, and tensors without a form in JSON, are left out or
    described as bytes: OpenAPI has no words for them.

    Args:
        models: that the document describes.
        address: HTTP ``host:port`` of the server.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Models of a Triton Inference Server",
            "version": "2",
            "description": f"Written by tritongen {__version__} from the model repository.",
        },
        "servers": [{"url": f"http://{address}"}],
        "paths": dict(map(_path, models)),
    }


def _path(model: ModelInterface) -> tuple[str, dict[str, Any]]:
    """A model's path with its one operation."""
    if model.engine:
        return f"/v2/models/{quote(model.name)}/generate", {"post": _generation(model)}
    return f"/v2/models/{quote(model.name)}/infer", {"post": _operation(model)}


def _generation(model: ModelInterface) -> dict[str, Any]:
    """What a language model is asked, and what it answers at once."""
    text = {"type": "string"}
    said: dict[str, Any] = {TEXT_INPUT: text, "parameters": {"type": "object"}}
    if model.engine != VLLM:
        own = generate_body(model.engine, stream=False)
        kinds = {bool: {"type": "boolean"}, int: {"type": "integer", "minimum": 1}}
        said |= {name: kinds[type(value)] for name, value in own.items() if type(value) in kinds}
    answer = _object({"model_name": {"const": model.name}, TEXT_OUTPUT: text}, (TEXT_OUTPUT,))
    refusal = _object({"error": text}, ("error",))
    example = generate_body(model.engine, stream=False)
    return {
        "operationId": f"generate_{model.name}",
        "summary": f"Ask {model.name}",
        "requestBody": {
            "required": True, **_content(_object(said, (TEXT_INPUT,)), example=example)
        },
        "responses": {
            "200": {"description": "The answer", **_content(answer)},
            "400": {"description": "What Triton refuses", **_content(refusal)},
        },
    }  # fmt: skip


def _operation(model: ModelInterface) -> dict[str, Any]:
    request = _object(
        {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": {
                **_tensors(model.inputs, model),
                "minItems": len(model.sent),
                "maxItems": len(model.inputs),
            },
        },
        ("inputs",),
    )
    answer = _object(
        {
            "model_name": {"const": model.name},
            "model_version": {"type": "string"},
            "outputs": _tensors(model.outputs, model),
        },
        ("model_name", "outputs"),
    )
    refusal = _object({"error": {"type": "string"}}, ("error",))
    return {
        "operationId": f"infer_{model.name}",
        "summary": f"Run {model.name}",
        "requestBody": {"required": True, **_content(request, example=request_body(model))},
        "responses": {
            "200": {"description": "Outputs", **_content(answer)},
            "400": {"description": "What Triton refuses", **_content(refusal)},
        },
    }


def _content(schema: Mapping[str, Any], **more: object) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema, **more}}}


def _tensors(items: Iterable[CallTensor], model: ModelInterface) -> dict[str, Any]:
    """A list of some of these tensors."""
    kinds = [_tensor_schema(item, model.max_batch_size) for item in items]
    return {"type": "array", "items": {"oneOf": kinds}}


def _object(properties: Mapping[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _tensor_schema(item: CallTensor, most: int) -> dict[str, Any]:
    """One tensor as Triton's JSON has it, with its own name, type and sizes."""
    rows = [{"type": "integer", "minimum": 1, "maximum": most}] if most > 0 else []
    sizes = [
        {"const": size} if size >= 0 else {"type": "integer", "minimum": 0} for size in item.dims
    ]
    kind = _JSON_TYPES.get(item.dtype, "integer" if item.dtype.is_integer else "number")
    rank = len(rows) + len(sizes)
    return _object(
        {
            "name": {"const": item.name},
            "datatype": {"const": str(item.dtype)},
            "shape": {
                "type": "array", "prefixItems": rows + sizes, "minItems": rank, "maxItems": rank
            },
            "data": {"type": "array", "items": {"type": [kind, "array"]}},
        },
        ("name", "datatype", "shape", "data"),
    )  # fmt: skip
