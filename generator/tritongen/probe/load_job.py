"""What is asked of one model: its requests, what its responses must say, how it is served."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.business import ClientProtocol
from tritongen.probe.grpc.grpc_request import request_bytes as grpc_bytes
from tritongen.probe.grpc.grpc_request import request_template as grpc_template
from tritongen.probe.http.http_request import request_bytes, request_template
from tritongen.probe.load_engine import RequestPlan
from tritongen.probe.request_inputs import InputOptions, make_messages
from tritongen.triton.address import Endpoint
from tritongen.triton.control import ServerControl
from tritongen.triton.messages import ExpectedResponse, Message, ModelMeta, Template
from tritongen.triton.statistics import ServedConfig, served_config

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
    config = served_config(model, control.config(model, version))
    if config.sequence and not sequence_length:
        raise InvalidInputError(
            "TG904",
            "the model batches sequences: requests need a correlation id",
            where=model,
            fix="Give the length of a sequence: --sequence 20.",
        )
    messages = make_messages(meta, version, config.max_batch_size > 0, options)
    return LoadJob(model, version, meta, config, messages, options.batch, share, sequence_length)


def make_plan(
    job: LoadJob, endpoint: Endpoint, placement: Placer | None = None, slots: int = 1
) -> RequestPlan:
    """A job as bytes for one protocol.

    Args:
        job: the model and its messages.
        endpoint: where they go.
        placement: puts tensors into shared memory; None sends them along.
        slots: slots of concurrency with a place of their own in shared memory.
    """
    encode, template = _encoders(endpoint)
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
        references=references if placement is None else {},
        templates=[template(m) for m in placed[0]] if sequences else (),
        sequence_length=job.sequence_length,
    )


def _encoders(
    endpoint: Endpoint,
) -> tuple[Callable[[Message], bytes], Callable[[Message], Template]]:
    if endpoint.protocol is ClientProtocol.HTTP:
        host = endpoint.address
        return (lambda m: request_bytes(m, host)), (lambda m: request_template(m, host))
    streamed = endpoint.streaming
    return (
        lambda message: grpc_bytes(message, streamed=streamed),
        lambda message: grpc_template(message, streamed=streamed),
    )
