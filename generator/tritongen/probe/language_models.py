"""Language models are no matter of requests and latencies alone: AIPerf measures their tokens.

`probe` sends a request and waits for its answer. What users of a language model feel is the time to
the first token and the time between two, and what a request costs depends on its tokens. AIPerf
counts these; its command is given with the server's own generate endpoint filled in.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from tritongen.errors import InvalidInputError, TritongenError
from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.probed_server import ProbedServer
from tritongen.probe.workload import Load
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.triton.address import Endpoint

_VLLM, _TRTLLM, _LLM_API = "vllm", "tensorrtllm", "llmapi"
_INPUT, _OUTPUT = "text_input", "text_output"
_LLM_API_TOKENS = "sampling_param_max_tokens"
# Where a server's HTTP port is not known: that of gRPC was named.
_UNKNOWN = "HOST:8000"
# Chosen: a prompt and an answer of some sentences.
_TOKENS = 128


def refuse_language_model(server: ProbedServer, model: str, loads: Sequence[Load]) -> None:
    """Name the command that measures a model which answers with tokens.

    Raises:
        InvalidInputError: TG920, it is one.
    """
    try:
        config = server.control.config(model)
    except TritongenError:
        return  # what asks next tells what is wrong
    engine = language_engine(config)
    if engine:
        command = aiperf_command(server.endpoint, model, engine, loads)
        what = "it answers with tokens, whose times AIPerf measures"
        raise InvalidInputError("TG920", what, where=model, fix=f"pip install aiperf; {command}")


def language_engine(config: Mapping[str, object]) -> str:
    """Whose requests a model takes that answers a text with a text, empty for all others."""
    if config.get("backend") == _VLLM:
        return _VLLM
    inputs = config.get("input")
    if not (_named(inputs, _INPUT) and _named(config.get("output"), _OUTPUT)):
        return ""
    return _LLM_API if _named(inputs, _LLM_API_TOKENS) else _TRTLLM


def _named(tensors: object, name: str) -> bool:
    """Whether one of them has the name; a server may state anything."""
    listed = tensors if isinstance(tensors, list) else []
    return any(isinstance(one, dict) and one.get("name") == name for one in listed)


def aiperf_command(endpoint: Endpoint, model: str, engine: str, loads: Sequence[Load]) -> str:
    """AIPerf's command for a model of Triton, with the first of the loads that were asked for.

    AIPerf knows Triton's generate endpoints by a template of the request and the field of the
    answer; it counts tokens with the model's own tokenizer, which only the user can name.
    """
    http = endpoint.protocol is ClientProtocol.HTTP
    scheme = "https" if http and endpoint.tls is not None else "http"
    place = endpoint.place if http else _UNKNOWN
    load = next((one for one in loads if isinstance(one, ClosedLoop | OpenLoop)), ClosedLoop(8))
    amount = (
        ["--concurrency", str(load.concurrency)]
        if isinstance(load, ClosedLoop)
        else ["--request-rate", f"{load.rate_per_s:g}"]
    )
    words = [
        "aiperf", "profile", "--model", model, "--tokenizer", "TOKENIZER",
        "--url", f"{scheme}://{place}/v2/models/{quote(model)}/generate_stream",
        "--endpoint-type", "template", "--streaming",
        "--extra-inputs", f"payload_template:{_payload(engine)}",
        "--extra-inputs", f"response_field:{_OUTPUT}",
        "--synthetic-input-tokens-mean", str(_TOKENS), "--output-tokens-mean", str(_TOKENS),
        *amount,
    ]  # fmt: skip
    return shlex.join(words)


def _payload(engine: str) -> str:
    """AIPerf's template of a request's JSON."""
    text, tokens = "{{ text|tojson }}", "{{ max_tokens|tojson }}"
    said: dict[str, object] = {"stream": True, "max_tokens": tokens}
    if engine == _LLM_API:
        said = {"streaming": True, _LLM_API_TOKENS: tokens}
    body: dict[str, object] = {_INPUT: text}
    body |= {"parameters": said} if engine == _VLLM else said
    # The two stand in the template without quotes: they become JSON when it is filled in.
    return json.dumps(body).replace(f'"{text}"', text).replace(f'"{tokens}"', tokens)
