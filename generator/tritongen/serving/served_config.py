"""The configuration that a server serves a model with, in the form that ModelConfig has."""

from typing import Any

from tritongen.config.protobuf import new_model_config
from tritongen.errors import EnvironmentProblem
from tritongen.triton.connect import ServerClient

__all__ = ["config_document", "config_message"]

_SHOWN_CHARACTERS = 300


def config_message(client: ServerClient, model: str) -> Any:  # noqa: ANN401  (a generated message)
    """The completed ModelConfig; fields that this tool does not know are left out.

    Raises:
        EnvironmentProblem: TG839, what the server answers is none; those of `ServerClient`.
    """
    from google.protobuf.json_format import ParseDict, ParseError

    answer = client.model_config(model)
    try:
        return ParseDict(answer, new_model_config(), ignore_unknown_fields=True)
    except ParseError as problem:
        what = f"its configuration has an unknown form: {problem}"[:_SHOWN_CHARACTERS]
        raise EnvironmentProblem("TG839", what, where=model) from problem


def config_document(client: ServerClient, model: str) -> dict[str, Any]:
    """The same in JSON's terms, as Triton writes it: plain fields are there, of the right types.

    Raises:
        EnvironmentProblem: see `config_message`.
    """
    from google.protobuf.json_format import MessageToDict

    return dict(
        MessageToDict(
            config_message(client, model),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
    )
