"""`client` for programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tritongen.api.arguments import DEFAULT_REPOSITORY, StrPath, existing_folder, refuse_other
from tritongen.api.result import ApiResult
from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.codec import shallow
from tritongen.repository.client_examples import Language, client_example
from tritongen.repository.model_interface import ModelInterface, model_interface
from tritongen.serving.lifecycle import running_server

_Protocol = Literal["http", "grpc"]
_USUAL = {"http": "localhost:8000", "grpc": "localhost:8001"}


@dataclass(frozen=True, slots=True)
class ClientExample(ApiResult):
    """How to call a model.

    Attributes:
        model: its name.
        language: of the text.
        protocol: that it speaks.
        text: the example, as it is run.
    """

    model: str
    language: Language
    protocol: _Protocol
    text: str

    def _document(self) -> dict[str, object]:
        return shallow(self, whole=True)


def client(
    model: str,
    *,
    repository: StrPath = DEFAULT_REPOSITORY,
    language: Literal["curl", "python", "python-async", "openapi"] = "curl",
    protocol: _Protocol = "http",
    url: str | None = None,
) -> ClientExample:
    """How to call a model.

    Args:
        model: its name.
        repository: that the server serves.
        language: of the example.
        protocol: that it speaks, ``http`` or ``grpc``; curl and OpenAPI speak HTTP alone.
        url: ``HOST:PORT`` of the server, for the protocol; this project's server, else localhost,
            when None.

    Raises:
        InvalidInputError: TG002 no such folder, TG009 an argument, TG306 no such model, TG371 the
            model cannot be called that way.
    """
    refuse_other("language", language, list(Language))
    refuse_other("protocol", protocol, _USUAL)
    interface = model_interface(existing_folder(Path(repository)), model)
    return _example(interface, Language(language), protocol, url)


def _example(
    model: ModelInterface, language: Language, protocol: _Protocol, url: str | None
) -> ClientExample:
    text = client_example(model, language, protocol, url or _address(protocol))
    return ClientExample(model.name, language, protocol, text)


def clients(
    model: str,
    *,
    repository: StrPath = DEFAULT_REPOSITORY,
    protocol: _Protocol = "http",
    url: str | None = None,
) -> dict[Language, ClientExample | InvalidInputError]:
    """How to call a model in every language, or why it cannot be called in one; see `client`."""
    interface = model_interface(existing_folder(Path(repository)), model)
    found: dict[Language, ClientExample | InvalidInputError] = {}
    for language in Language:
        http = language in {Language.CURL, Language.OPENAPI}
        streamed = interface.decoupled and not (interface.engine and language is Language.PYTHON)
        spoken: _Protocol = "http" if http else "grpc" if streamed else protocol
        try:
            # An address is that of one protocol.
            own = url if spoken == protocol else None
            found[language] = _example(interface, language, spoken, own)
        except InvalidInputError as problem:
            found[language] = problem
    return found


def _address(protocol: str) -> str:
    """Where this project's server listens, else where Triton does by default."""
    try:
        endpoints = running_server(Path.cwd()).endpoints
    except EnvironmentProblem:
        return _USUAL[protocol]
    return endpoints.grpc if protocol == "grpc" else endpoints.http
