"""TensorRT-LLM's engines: parameters of a configuration, and the LLM API's `model.yaml`.

The LLM API makes its engine from a name on the hub or a folder of weights when it loads; every key
of `model.yaml` is its argument but `triton_config`, which its `model.py` reads. An engine that was
built before is named by parameters of the configuration.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tritongen.formats.engine_arguments import (
    COUNT,
    GPUS,
    SHARE,
    SWITCH,
    TEXT,
    Argument,
    argument_faults,
    path_faults,
)
from tritongen.formats.language_model_size import size_of
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.reading import ModelSource
from tritongen.model.engine_facts import TRTLLM_CACHE_SHARE, TrtllmFacts
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity
from tritongen.system.paths import read_head

LLM_API_FILE = "model.yaml"
# Chosen: they have some kilobytes, and the deepest key two levels above it.
_MAX_BYTES = 1 << 16
_MAX_DEPTH = 16
_PARAMETER = re.compile(
    r'\bkey\s*:\s*"(\w+)"\s*,?\s*value\s*:?\s*\{\s*string_value\s*:\s*"((?:[^"\\]|\\.)*)"'
)
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_COUNT = re.compile(r"\binstance_group\b[^}]*?\bcount\s*:\s*(\d{1,4})\b")
_DEVICES = re.compile(r"\s*\d{1,4}(?:\s*[,;]\s*\d{1,4})*\s*")
_HELPERS = re.compile(rb"^\s*(?:from|import) helpers\b", re.MULTILINE)
_MAPPING = Argument((dict,), "a mapping")
# Of the arguments that stay from one version to the next.
_ARGUMENTS: Mapping[str, Argument] = {
    "model": TEXT,
    "tokenizer": TEXT,
    "dtype": TEXT,
    "backend": TEXT,
    "revision": TEXT,
    "tensor_parallel_size": GPUS,
    "pipeline_parallel_size": GPUS,
    "moe_expert_parallel_size": GPUS,
    "gpus_per_node": GPUS,
    "max_batch_size": COUNT,
    "max_num_tokens": COUNT,
    "max_seq_len": COUNT,
    "max_input_len": COUNT,
    "max_beam_width": COUNT,
    "trust_remote_code": SWITCH,
    "skip_tokenizer_init": SWITCH,
    "enable_chunked_prefill": SWITCH,
    "kv_cache_config": _MAPPING,
    "cuda_graph_config": _MAPPING,
    "triton_config": _MAPPING,
}
_CACHE: Mapping[str, Argument] = {
    "free_gpu_memory_fraction": SHARE,
    "enable_block_reuse": SWITCH,
    "max_tokens": COUNT,
    "dtype": TEXT,
}
# What `model.py` reads of it; the first two it cannot do without.
_TRITON: Mapping[str, Argument] = {
    "max_batch_size": Argument((int,), "a whole number from 0 on", 0),
    "decoupled": SWITCH,
    "cancellation_check_period_ms": COUNT,
    "multimodal": Argument((bool, dict, str), "true or false"),
}


def engine_of(text: str, known: TrtllmFacts | None = None) -> TrtllmFacts | None:
    """The engine that a configuration's parameters name, None where they name none.

    Args:
        text: of the configuration.
        known: what a `model.yaml` says of the engine.
    """
    said = dict(_PARAMETER.findall(_COMMENT.sub("", text)))
    folder = said.get("gpt_model_path", "")
    if not folder or "${" in folder:
        return _placed(known, text) if known is not None else None
    share = said.get("kv_cache_free_gpu_mem_fraction", "")
    try:
        cache = float(share) if share and "${" not in share else TRTLLM_CACHE_SHARE
    except ValueError:
        cache = TRTLLM_CACHE_SHARE
    return _placed(
        TrtllmFacts(folder, cache_share=min(1.0, max(0.0, cache)), size=size_of(folder)), text
    )


def _placed(engine: TrtllmFacts, text: str) -> TrtllmFacts:
    """The engine with instances and GPUs as a configuration has them."""
    plain = _COMMENT.sub("", text)
    devices = dict(_PARAMETER.findall(plain)).get("gpu_device_ids", "")
    listed: tuple[tuple[int, ...], ...] = ()
    if _DEVICES.fullmatch(devices):
        listed = tuple(tuple(map(int, own.split(","))) for own in devices.split(";"))
    count = _COUNT.search(plain)
    return replace(engine, devices=listed, instances=max(1, int(count[1])) if count else 1)


def is_llm_api(folder: Path) -> bool:
    """Whether a version folder holds a model of the LLM API."""
    return (folder / LLM_API_FILE).is_file() and (folder / "model.py").is_file()


def with_llm_api(source: ModelSource, facts: ModelFacts, folder: Path) -> ModelFacts:
    """The facts of a configuration with those of the `model.yaml` in its version folder, if any.

    Raises:
        OSError: it cannot be read.
    """
    path = folder / LLM_API_FILE
    if facts.template is None or not (source.holds(path) and source.holds(folder / "model.py")):
        return facts
    try:
        said = _document(path)
    except DamagedError as error:
        fault = facts.finding("TG152", f"{LLM_API_FILE}: {error.what}")
        return replace(facts, findings=(*facts.findings, fault))
    faults = [*_faults(facts, said), *_helpers(source, facts, folder)]
    engine = _placed(_engine(said, faults), facts.template.text)
    producer = f"TensorRT-LLM's LLM API for {engine.model}" if engine.model else facts.producer
    return replace(
        facts,
        template=replace(facts.template, engine=engine),
        producer=producer,
        findings=(*facts.findings, *faults),
    )


def _document(path: Path) -> dict[str, Any]:
    text = read_head(path, _MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise DamagedError(f"the file has more than {_MAX_BYTES >> 10} KiB")
    try:
        _refuse_unfolding(text)
        found = yaml.load(text, yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DamagedError(f"it is no YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict):
        raise DamagedError("it holds no mapping of the engine's arguments")
    return {str(key): value for key, value in found.items()}


def _refuse_unfolding(text: bytes) -> None:
    """Stop before values that take far more room or depth than their text.

    Raises:
        DamagedError: it has aliases, or is nested too deeply.
        yaml.YAMLError: it is no YAML.
    """
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH or isinstance(event, yaml.AliasEvent):
            raise DamagedError("it has aliases or is nested too deeply")


def _faults(facts: ModelFacts, said: Mapping[str, Any]) -> Iterator[Finding]:
    """What the engine or its `model.py` would refuse, and what they may."""
    if "model" not in said:
        fix = "Write model: the name on the hub, or the folder on the server."
        yield facts.finding("TG152", f"{LLM_API_FILE} names no model", fix=fix, field="model")
    yield from argument_faults(facts, said, _ARGUMENTS)
    for key in ("model", "tokenizer"):
        if isinstance(said.get(key), str):
            yield from path_faults(facts, key, said[key])
    yield from _within(facts, said, "kv_cache_config", _CACHE)
    triton = said.get("triton_config", {})
    if not isinstance(triton, dict):
        return  # told above
    for key in ("max_batch_size", "decoupled"):
        if key not in triton:
            message = f"{LLM_API_FILE} has no triton_config.{key}, which its model.py reads"
            yield facts.finding("TG152", message, field=f"triton_config.{key}")
    yield from _within(facts, said, "triton_config", _TRITON)
    if type(rows := triton.get("max_batch_size")) is int and rows > 0:
        message = f"triton_config.max_batch_size is {rows}: model.py takes requests one at a time"
        fix = "Write 0; the engine batches requests by itself."
        yield facts.finding(
            "TG545", message, severity=Severity.WARNING, fix=fix, field="triton_config"
        )


def _within(
    facts: ModelFacts, said: Mapping[str, Any], key: str, known: Mapping[str, Argument]
) -> Iterator[Finding]:
    """Faults of a mapping in the file."""
    if isinstance(inner := said.get(key), dict):
        named = {str(name): value for name, value in inner.items()}
        yield from argument_faults(facts, named, known, f"{key}.")


def _helpers(source: ModelSource, facts: ModelFacts, folder: Path) -> Iterator[Finding]:
    """Its `model.py` comes with a second file."""
    if not source.holds(folder / "helpers.py") and _HELPERS.search(
        read_head(folder / "model.py", _MAX_BYTES)
    ):
        fix = "Copy helpers.py from where model.py was taken."
        yield facts.finding("TG454", "model.py imports helpers.py, which is not beside it", fix=fix)


def _engine(said: Mapping[str, Any], faults: list[Finding]) -> TrtllmFacts:
    """The engine by those arguments that are sound."""
    wrong = {item.location.field for item in faults if item.severity is Severity.ERROR}
    sound = {key: value for key, value in said.items() if key not in wrong}
    cache = sound.get("kv_cache_config", {})
    share = cache.get("free_gpu_memory_fraction", TRTLLM_CACHE_SHARE)
    if "kv_cache_config.free_gpu_memory_fraction" in wrong:
        share = TRTLLM_CACHE_SHARE
    model = sound.get("model", "")
    return TrtllmFacts(
        model,
        split=sound.get("tensor_parallel_size", 1) * sound.get("pipeline_parallel_size", 1),
        cache_share=float(share),
        max_length=sound.get("max_seq_len", 0),
        size=size_of(model, sound.get("dtype", "")),
    )
