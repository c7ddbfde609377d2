"""The configurations that a server serves with, and how they differ from those on disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tritongen.config.pbtxt import parse_config
from tritongen.config.protobuf import new_model_config
from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity, finding
from tritongen.repository.lock_file import CONFIG_FILE, config_text
from tritongen.serving.server_spec import model_names
from tritongen.triton.connect import ServerClient

_SHOWN_CHARACTERS = 60
_PROBLEM_CHARACTERS = 300


def repository_drift(client: ServerClient, repository: Path) -> tuple[Finding, ...]:
    """Where the server's models differ from those on disk, as warnings with code TG853.

    A field that the file leaves out is the server's to fill in and is no difference.

    Args:
        client: of a server that is live.
        repository: folder of models.

    Raises:
        EnvironmentProblem: TG814, the server went away; TG815, it does not tell;
            TG839, its answers are none of Triton's.
    """
    here = set(model_names(repository))
    there = {name for name, tried in listed_models(client, repository) if tried}
    return (
        *(
            _drift(name, "is on disk, and the server has not loaded it")
            for name in sorted(here - there)
        ),
        *(_drift(name, "is served, and not on disk") for name in sorted(there - here)),
        *(item for name in sorted(here & there) for item in model_drift(client, repository, name)),
    )


def listed_models(client: ServerClient, repository: Path | None) -> tuple[tuple[str, bool], ...]:
    """Models on a server's disk, and whether the server tried to load each.

    A server that keeps its list closed, as one from an export does, is asked for each model of the
    repository instead.

    Raises:
        EnvironmentProblem: TG815, the list is closed and there is no repository; TG814, TG839.
    """
    try:
        return tuple((entry.name, bool(entry.state)) for entry in client.index())
    except EnvironmentProblem as problem:
        if problem.code != "TG815" or repository is None:
            raise
        return tuple((name, client.model_ready(name)) for name in model_names(repository))


def _drift(name: str, message: str, field: str = "") -> Finding:
    return finding("TG853", Severity.WARNING, message, model=name, field=field)


def model_drift(client: ServerClient, repository: Path, name: str) -> Iterator[Finding]:
    """One model's part of `repository_drift`, from the same clients and with the same errors.

    What the server does not serve is told by its status, and has no configuration.
    """
    try:
        served = config_message(client, name)
    except EnvironmentProblem as problem:
        if problem.code != "TG815":
            raise
        return
    path = repository / name / CONFIG_FILE
    try:
        parsed = parse_config(config_text(path), str(path))
    except OSError:
        return  # without one Triton completes it, and nothing can differ
    if not parsed.ok:
        yield _drift(
            name, "the file on disk can no longer be read by Triton; see `tritongen check`"
        )
        return
    for place, written, found in _differences(parsed.message, served, ""):
        yield _drift(name, f"{written} on disk, {found} on the server", place)


def _differences(written: Any, served: Any, path: str) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  (messages of any type)
    """(field, as written, as served) for every field that is written and served otherwise."""
    for described, value in written.ListFields():
        place = f"{path}.{described.name}" if path else described.name
        other = getattr(served, described.name)
        kind = described.message_type
        if kind is not None and kind.GetOptions().map_entry:
            for key in sorted(value):
                entry = f'{place}["{key}"]'
                if key not in other:
                    yield entry, "set", "absent"
                else:
                    inner = kind.fields_by_name["value"]
                    yield from _entries(inner, value[key], other[key], entry)
        elif described.is_repeated:
            if len(value) != len(other):
                yield place, f"{len(value)} entries", f"{len(other)} entries"
                continue
            for index, (mine, its) in enumerate(zip(value, other, strict=True)):
                yield from _entries(described, mine, its, f"{place}[{index}]")
        elif kind is not None and not served.HasField(described.name):
            yield place, "set", "absent"
        else:
            yield from _entries(described, value, other, place)


def _entries(described: Any, mine: Any, its: Any, place: str) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  (a field, messages or scalars)
    if described.message_type is not None:
        yield from _differences(mine, its, place)
    elif mine != its:
        yield place, _shown(described, mine), _shown(described, its)


def _shown(described: Any, value: object) -> str:  # noqa: ANN401  (a field)
    """An enumeration's value by its name; anything else as it is, cut to a line."""
    kind = described.enum_type
    known = kind.values_by_number.get(value) if kind is not None else None
    text = known.name if known is not None else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


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
        what = f"its configuration has an unknown form: {problem}"[:_PROBLEM_CHARACTERS]
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
