"""Configurations that are handed over: those of TensorRT-LLM's models, filled in and kept.

A set's models are written by whoever made the backend: code in Python, and a `config.pbtxt` with
placeholders such as ``${engine_dir}``. `build` fills these with the values that `engine` states in
`tritongen.yaml`. What is stated for one model of the set holds for the others, too.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tritongen.formats.reading import ModelSource
from tritongen.formats.trtllm import LLM_API_FILE, engine_of, is_llm_api, with_llm_api
from tritongen.model.engine_facts import TemplateFacts
from tritongen.model.facts import FileRef, ModelFacts, ModelFormat, ModelVersion
from tritongen.model.findings import Finding, Severity
from tritongen.model.intent import Intent
from tritongen.model.template_places import REQUIRED, TemplatePlace, template_places
from tritongen.system.paths import contained, read_head

CONFIG_FILE = "config.pbtxt"
# Chosen: configurations have some kilobytes.
_MAX_BYTES = 1 << 20
# Chosen: far more than the files of a set's model.
_MAX_FILES = 10_000
# What only the models of a set name, placeholders aside.
_MARKS = re.compile(r'"(?:tensorrtllm|tensorrt_llm|tensorrt_llm_model_name)"')
_TOKENIZER = re.compile(r'"(?:INPUT_ID|TOKENS_BATCH)".*"tokenizer_dir"', re.DOTALL)
_BACKEND = re.compile(r'^\s*backend\s*:\s*"([^"]*)"', re.MULTILINE)
# What may stand outside of a text: a number, a name of an enumeration, true or false.
_BARE = re.compile(r"[A-Za-z0-9_.+-]+")


def is_template(path: Path) -> bool:
    """Whether a configuration is a template, or part of a TensorRT-LLM set.

    Raises:
        OSError: it cannot be read.
    """
    text = _text(path)
    marked = _MARKS.search(text) is not None or _TOKENIZER.search(text) is not None
    return marked or next(template_places(text), None) is not None


def _text(path: Path) -> str:
    return read_head(path, _MAX_BYTES).decode("utf-8", "replace")


def read_template(source: ModelSource) -> ModelFacts:
    """The facts of one configuration, its placeholders as they stand, and the files beside it.

    Raises:
        OSError: it cannot be read.
    """
    text = _text(source.file)
    named = _BACKEND.search(text)
    facts = replace(
        source.facts,
        template=TemplateFacts(text, named[1] if named else "", engine=engine_of(text)),
        producer="its own config.pbtxt",
        versions=(ModelVersion(source.version, tuple(_files(source))),),
    )
    return with_llm_api(source, facts, source.file.parent / str(source.version))


def _files(source: ModelSource) -> Iterator[FileRef]:
    """Everything in the version folder but hidden files and what Python leaves there."""
    folder = source.file.parent / str(source.version)
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "__pycache__")
        found += [Path(place, name) for name in names if name[0] != "."]
    for path in sorted(found)[:_MAX_FILES]:
        if source.holds(path):
            name = path.relative_to(source.root).as_posix()
            yield FileRef(name, path.relative_to(folder).as_posix(), path.stat().st_size)


def with_values(models: Sequence[ModelFacts], intent: Intent) -> tuple[ModelFacts, ...]:
    """The models, their templates filled with what `tritongen.yaml` states."""
    templates = {facts.name: facts.template for facts in models if facts.template is not None}
    shared: dict[str, object] = {}
    for name in templates:
        shared |= intent.of(name).engine
    texts = (template.text for template in templates.values())
    known = {place.name for text in texts for place in template_places(text)}
    return tuple(
        _filled(facts, facts.template, shared, intent.of(facts.name).engine, known)
        if facts.template is not None
        else facts
        for facts in models
    )


def _filled(
    facts: ModelFacts,
    template: TemplateFacts,
    shared: Mapping[str, object],
    own: Mapping[str, object],
    known: set[str],
) -> ModelFacts:
    """One model with its template filled, and what is wrong with the values or still missing.

    Args:
        facts: of the model.
        template: as it was read.
        shared: what is stated for any model of the set.
        own: what is stated for this one, over that.
        known: names of all placeholders of the set.
    """
    values = {**shared, **own}
    places = tuple(template_places(template.text))
    wrong: dict[str, str] = {}
    for place in places:
        if place.name in values and (fault := _fault(place, values[place.name])):
            wrong.setdefault(place.name, fault)
    faults = [
        facts.finding("TG541", fault, fix=f"Correct models.{facts.name}.engine.{name}.")
        for name, fault in wrong.items()
    ]
    unknown = sorted(set(own) - known)
    if unknown:
        message = f"no config.pbtxt of the set has a placeholder for {', '.join(unknown)}"
        faults.append(facts.finding("TG541", message, severity=Severity.WARNING))
    sound = {name: value for name, value in values.items() if name not in wrong}
    found = (*facts.findings, *faults, *_open(facts, places, values))
    filled = _with_places(template, places, sound)
    engine = engine_of(filled.text, template.engine)
    return replace(facts, template=replace(filled, engine=engine), findings=found)


def _with_places(
    template: TemplateFacts, places: Sequence[TemplatePlace], values: Mapping[str, object]
) -> TemplateFacts:
    """The template with the values in their places, the last of a line first."""
    lines = template.text.split("\n")
    stated: dict[int, list[str]] = {}
    for place in reversed(places):
        if place.name in values:
            line = lines[place.line - 1]
            new = _written(values[place.name], quoted=place.quoted)
            lines[place.line - 1] = line[: place.start] + new + line[place.end :]
            stated.setdefault(place.line, []).append(place.name)
    named = tuple((line, ", ".join(sorted(stated[line]))) for line in sorted(stated))
    return replace(template, text="\n".join(lines), stated=named)


def _fault(place: TemplatePlace, value: object) -> str:
    """What is wrong with a place's value, empty for nothing."""
    if not isinstance(value, str | int | float | bool):
        return f"the value of {place.name} is no text, number or truth value"
    text = _plain(value)
    if any(ord(char) < 32 for char in text):
        return f"the value of {place.name} has a control character"
    if not place.quoted and not _BARE.fullmatch(text):
        return f"{place.name} stands outside of a text and cannot be {text!r}"
    return ""


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _written(value: object, *, quoted: bool) -> str:
    text = _plain(value)
    return text.replace("\\", "\\\\").replace('"', '\\"') if quoted else text


def _open(
    facts: ModelFacts, places: Sequence[TemplatePlace], values: Mapping[str, object]
) -> Iterator[Finding]:
    """Places without which the model does not load."""
    names = dict.fromkeys(
        place.name
        for place in places
        if place.name not in values and (not place.quoted or place.name in REQUIRED)
    )
    if names:
        keys = ", ".join(f"{name}: …" for name in names)
        yield facts.finding(
            "TG541",
            f"placeholders of its config.pbtxt wait for a value: {', '.join(names)}",
            fix=f"State models.{facts.name}.engine: {{{keys}}} in tritongen.yaml.",
        )


def template_format(root: Path, folder: str) -> ModelFormat | None:
    """The format of a folder below the root by its configuration, None where that tells none."""
    try:
        file = contained(root, root / folder / CONFIG_FILE)
        if file is None or not file.is_file():
            return None
        handed_over = is_template(file) or any(
            is_llm_api(path.parent) for path in (root / folder).glob(f"*/{LLM_API_FILE}")
        )
    except OSError:
        return None
    return ModelFormat.TEMPLATE if handed_over else None
