"""What is asked of one model: different requests, what their responses must say, how it is served.

Inputs are generated from the model's metadata, or are real tensors.
"""

import math
import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.intent import DeclaredTensor
from tritongen.model.samples import Array, InputRecipe, make_inputs
from tritongen.model.tensors import DType
from tritongen.probe.engines.grpc_messages import request_bytes as grpc_bytes
from tritongen.probe.engines.grpc_messages import request_template as grpc_template
from tritongen.probe.engines.http_messages import request_bytes, request_template
from tritongen.probe.engines.infer_calls import CallTemplate, infer_call
from tritongen.probe.load_engine import LoadClient, RequestPlan, SequenceTemplate
from tritongen.system.sample_files import SampleFiles
from tritongen.triton.address import Endpoint
from tritongen.triton.control import ServerControl
from tritongen.triton.messages import (
    ExpectedResponse,
    Message,
    ModelMeta,
    TensorMeta,
    WireTensor,
)
from tritongen.triton.sample_tensors import Sample, joined, read_rows, read_samples
from tritongen.triton.statistics import ServedConfig, served_config
from tritongen.triton.tensor_bytes import encode

# Different requests of a model, their size together, and elements of one input. Chosen: enough that
# no cache answers, within memory.
_MAX_REQUESTS = 64
_POOL_BYTES = 64 * 1024 * 1024
_MAX_ELEMENTS = 1 << 30
# Sizes for dynamic axes of which nothing is known: an image's sides, its channels, anything else.
_IMAGE_SIDE = 224
_CHANNELS = (1, 3, 4)
_ANY = 16
_LEAVE_CLIENT = "Use --client tritonclient, or leave --client out."


@dataclass(frozen=True, slots=True)
class InputOptions:
    """Where inputs come from.

    Attributes:
        batch: rows of each request; 1 for models without batch axis.
        shapes: by input; full, or without the batch axis.
        values: descriptions of values by input, see `tritongen.model.input_values`.
        declared: inputs declared in `tritongen.yaml`.
        data: files with real tensors that the user asks for, None for the samples.
        samples: those of `tritongen.yaml`, None to generate values.
        seed: of generated values.
        sizes: of dynamic axes that nobody states, by axis, where it is not any that will do.
        parameters: of every request.
    """

    batch: int = 1
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    declared: Mapping[str, DeclaredTensor] = field(default_factory=dict)
    data: SampleFiles | None = None
    samples: SampleFiles | None = None
    seed: int = 0
    sizes: Mapping[int, int] = field(default_factory=dict)
    parameters: Mapping[str, str | int | bool | float] = field(default_factory=dict)


def make_messages(
    meta: ModelMeta, version: str, batches: bool, options: InputOptions
) -> tuple[Message, ...]:
    """Different requests for a model.

    Args:
        meta: the model's metadata.
        version: to ask for, empty for the server's choice.
        batches: whether axis 0 of every tensor is a batch axis.
        options: where inputs come from.

    Raises:
        InvalidInputError: TG907, a shape is unknown or contradicts the model; TG906, the data
            file cannot be used; TG304, a description of values is wrong.
    """
    _check_names(meta, options)
    if options.batch > 1 and not batches:
        raise InvalidInputError(
            "TG907",
            f"--batch {options.batch} needs a model with a batch axis",
            where=meta.name,
            fix="Leave --batch out, or build the model with max_batch_size above 0.",
        )
    data: Sequence[Sample] = (Sample("", {}, {}),)
    if options.data:
        data = joined(read_samples(options.data, meta, batches), options.batch)
    elif options.samples:
        data = joined(read_rows(options.samples, meta, batches), options.batch)
    names = {tensor.name for tensor in meta.inputs}
    if not all(set(one.inputs) >= names for one in data):
        given = set.intersection(*(set(one.inputs) for one in data))
        made = _generate(meta, batches, options, given)
        data = [
            replace(sample, inputs={**inputs, **sample.inputs})
            for index, inputs in enumerate(made)
            for sample in [data[index % len(data)]]
        ]
    return tuple(
        replace(_message(meta, version, one.inputs, one.expected), parameters=options.parameters)
        for one in data
    )


def _message(
    meta: ModelMeta,
    version: str,
    arrays: Mapping[str, Array],
    answers: Mapping[str, Array],
) -> Message:
    given = [(tensor, arrays[tensor.name]) for tensor in meta.inputs]
    inputs = tuple(
        WireTensor(t.name, t.datatype, tuple(array.shape), encode(array, _dtype(t)))
        for t, array in given
    )
    outputs = tuple((output.name, None) for output in meta.outputs)
    expected = {
        output.name: encode(answers[output.name], DType(output.datatype))
        for output in meta.outputs
        if output.name in answers
    }
    return Message(meta.name, version, inputs, outputs, expected)


def _dtype(tensor: TensorMeta) -> DType:
    try:
        return DType(tensor.datatype)
    except ValueError:
        raise InvalidInputError(
            "TG907", f"input {tensor.name} has the unknown type {tensor.datatype!r}"
        ) from None


def _check_names(meta: ModelMeta, options: InputOptions) -> None:
    known = {tensor.name for tensor in meta.inputs}
    for flag, given in (("--shape", options.shapes), ("--values", options.values)):
        unknown = sorted(set(given) - known)
        if unknown:
            raise InvalidInputError(
                "TG907",
                f"{flag} names {', '.join(unknown)}, which is no input of {meta.name}",
                fix=f"Its inputs are: {', '.join(sorted(known)) or 'none'}.",
            )


def _generate(
    meta: ModelMeta, batches: bool, options: InputOptions, given: set[str]
) -> list[dict[str, Array]]:
    declared = {name: tensor.values for name, tensor in options.declared.items()}
    described = {**declared, **options.values}
    recipes = [
        InputRecipe(
            tensor.name,
            _dtype(tensor),
            input_shape(tensor, batches, options),
            described.get(tensor.name, ""),
        )
        for tensor in meta.inputs
        if tensor.name not in given
    ]
    size = sum(math.prod(r.shape) * max(r.dtype.itemsize, 16) for r in recipes)
    if any(math.prod(recipe.shape) > _MAX_ELEMENTS for recipe in recipes):
        raise InvalidInputError("TG907", "an input has more than 2³⁰ elements", where=meta.name)
    count = min(_MAX_REQUESTS, max(2, _POOL_BYTES // max(size, 1)))
    return [make_inputs(recipes, options.seed + index) for index in range(count)]


def input_shape(tensor: TensorMeta, batches: bool, options: InputOptions) -> tuple[int, ...]:
    """The full shape to send, batch axis included.

    Raises:
        InvalidInputError: TG907, a given shape contradicts the model.
    """
    declared = options.declared.get(tensor.name)
    given = options.shapes.get(tensor.name) or (declared.shape if declared else None)
    served = tensor.shape[1:] if batches else tensor.shape
    lead = (options.batch,) if batches else ()
    if given is not None:
        inner = given[1:] if batches and len(given) == len(served) + 1 else given
        if len(inner) != len(served) or any(
            want not in {-1, size} or size < 1 for want, size in zip(served, inner, strict=True)
        ):
            raise InvalidInputError(
                "TG907",
                f"shape {list(given)} of input {tensor.name} does not fit the model's "
                f"{list(tensor.shape)}",
                fix=f"Give it like --shape {tensor.name}:"
                + ",".join(str(d if d > 0 else _ANY) for d in tensor.shape),
            )
        return (*lead, *inner)
    return (*lead, *_guess(served, options.sizes))


def _guess(dims: tuple[int, ...], sizes: Mapping[int, int]) -> tuple[int, ...]:
    """Sizes for the dynamic axes, where none is known by what the others look like."""
    if len(dims) >= 3 and dims[-3] in _CHANNELS:
        spatial = {len(dims) - 2, len(dims) - 1}
    elif len(dims) >= 3 and dims[-1] in _CHANNELS:
        spatial = {len(dims) - 3, len(dims) - 2}
    else:
        spatial = set()
    return tuple(
        size if size > 0 else sizes.get(axis, _IMAGE_SIDE if axis in spatial else _ANY)
        for axis, size in enumerate(dims)
    )


# Fills in the regions for one slot of concurrency; see `tritongen.triton.shared_memory`.
Placer = Callable[[Message, int, int], Message]


@dataclass(frozen=True, slots=True)
class LoadJob:
    """One model and the requests for it.

    Attributes:
        model: its name.
        version: to ask for, empty for the server's choice.
        meta: its metadata.
        config: what matters of its configuration.
        messages: different requests.
        batch: rows of each request.
        share: of the load.
        sequence_length: steps of a sequence, 0 for independent requests.
    """

    model: str
    version: str
    meta: ModelMeta
    config: ServedConfig
    messages: tuple[Message, ...]
    batch: int = 1
    share: float = 1.0
    sequence_length: int = 0

    @property
    def batches(self) -> bool:
        """Whether axis 0 is a batch axis."""
        return self.config.max_batch_size > 0


def prepare_job(
    control: ServerControl,
    model: str,
    options: InputOptions,
    *,
    version: str = "",
    share: float = 1.0,
    sequence_length: int = 0,
) -> LoadJob:
    """Ask the server about a model and make requests for it.

    Raises:
        EnvironmentProblem: TG901 to TG903, the server or the model is not there.
        InvalidInputError: TG906, TG907 or TG304, no requests can be made as asked.
    """
    if not control.is_ready(model, version):
        raise EnvironmentProblem("TG903", control.reason(model), where=model)
    meta = control.metadata(model, version)
    raw = control.config(model, version)
    config = served_config(model, raw)
    if config.sequence and not sequence_length:
        raise InvalidInputError(
            "TG904",
            "the model batches sequences: requests need a correlation id",
            where=model,
            fix="Give the length of a sequence: --sequence 20.",
        )
    if config.sequence and not config.max_batch_size:
        options = replace(options, sizes=_state_sizes(raw))
    messages = make_messages(meta, version, config.max_batch_size > 0, options)
    return LoadJob(model, version, meta, config, messages, options.batch, share, sequence_length)


def _state_sizes(config: Mapping[str, Any]) -> dict[int, int]:
    """Sizes that inputs must have beside the states that the server keeps without a batch axis.

    A sequence is one row then, and a dynamic axis of a state has the size that it begins with.
    """
    states = config["sequence_batching"].get("state") or []
    sizes = {0: 1} if states else {}
    for state in states:
        first = (state.get("initial_state") or [{}])[0].get("dims") or []
        for axis, (dim, size) in enumerate(zip(state.get("dims") or [], first, strict=False)):
            if int(dim) < 0:
                sizes[axis] = int(size)
    return sizes


def make_plan(
    job: LoadJob,
    endpoint: Endpoint,
    placement: Placer | None = None,
    slots: int = 1,
    client: LoadClient = LoadClient.AUTO,
) -> RequestPlan:
    """A job as requests for one protocol and client.

    Args:
        job: the model and its messages.
        endpoint: where they go.
        placement: puts tensors into shared memory; None sends them along.
        slots: slots of concurrency with a place of their own in shared memory.
        client: what sends them; see `chosen_client`.

    Raises:
        InvalidInputError: TG914, the client cannot do what the endpoint asks for.
        EnvironmentProblem: TG006, a part of tritonclient is not installed.
    """
    client = chosen_client(endpoint, client)
    encode, template = _encoders(endpoint, client)
    placed: list[Sequence[Message]] = [job.messages]
    if placement is not None:
        placed = [
            [placement(message, index, slot) for index, message in enumerate(job.messages)]
            for slot in range(slots)
        ]
    expectation = ExpectedResponse(
        job.model,
        {output.name: output for output in job.meta.outputs},
        job.batch if job.batches else None,
    )
    references = {i: m.expected for i, m in enumerate(job.messages) if m.expected}
    sequences = job.sequence_length > 0
    return RequestPlan(
        name=job.model,
        share=job.share,
        requests=[] if sequences else [[encode(m) for m in messages] for messages in placed],
        expectation=expectation,
        # The values of a stream come in any number of parts.
        references={} if placement is not None or endpoint.streaming else references,
        templates=[template(m) for m in placed[0]] if sequences else (),
        sequence_length=job.sequence_length,
        client=client,
        placed=placement is not None,
    )


def chosen_client(
    endpoint: Endpoint, wanted: LoadClient, *, compressed: bool = False
) -> LoadClient:
    """What sends to an endpoint: the fast engines where they can, unless another is asked for.

    Args:
        endpoint: of the server.
        wanted: as asked for.
        compressed: whether requests and responses are.

    Raises:
        InvalidInputError: TG914, the fast engines send no streams, nothing compressed, or not from
            this system.
    """
    fast = hasattr(select, "epoll")
    if wanted is LoadClient.FAST and not fast:
        raise InvalidInputError("TG914", "the fast client needs Linux", fix=_LEAVE_CLIENT)
    if wanted is LoadClient.FAST and (endpoint.streaming or compressed):
        what = "sends no streams, which decoupled models need"
        what = what if endpoint.streaming else "compresses nothing"
        raise InvalidInputError(
            "TG914", f"the fast client {what}", where=endpoint.address, fix=_LEAVE_CLIENT
        )
    if wanted is LoadClient.AUTO:
        fast = fast and not endpoint.streaming and not compressed
        return LoadClient.FAST if fast else LoadClient.TRITONCLIENT
    return wanted


def _encoders(
    endpoint: Endpoint, client: LoadClient
) -> tuple[Callable[[Message], Any], Callable[[Message], SequenceTemplate]]:
    if client is LoadClient.TRITONCLIENT:
        call = partial(infer_call, protocol=endpoint.protocol)
        return call, lambda message: CallTemplate(call(message))
    if endpoint.protocol is ClientProtocol.HTTP:
        to = (endpoint.address, endpoint.path, endpoint.headers)
        return lambda m: request_bytes(m, *to), lambda m: request_template(m, *to)
    return grpc_bytes, grpc_template
