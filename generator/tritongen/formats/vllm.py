"""The engine arguments of a vLLM model: `model.json`, and the adapters beside it.

vLLM is given every key as it stands.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from tritongen.model.engine_facts import VLLM_MEMORY_SHARE, LanguageModelSize, VllmFacts
from tritongen.model.facts import FileRef, ModelFacts, ModelVersion
from tritongen.model.findings import Finding, Severity
from tritongen.system.paths import read_head

VLLM_FILE = "model.json"
ADAPTERS_FILE = "multi_lora.json"
# Chosen: a few keys take some hundred bytes.
_MAX_BYTES = 1 << 20
_MARKS = re.compile(
    rb'"(?:model"\s*:\s*"|gpu_memory_utilization"|tensor_parallel_size"|max_model_len")'
)
_LENGTH = Argument((int, str), "a whole number of at least 1, or a text such as 16k", 1)
# Of the arguments that stay from one version to the next.
_ARGUMENTS: Mapping[str, Argument] = {
    "model": TEXT,
    "tokenizer": TEXT,
    "dtype": TEXT,
    "quantization": TEXT,
    "kv_cache_dtype": TEXT,
    "download_dir": TEXT,
    "served_model_name": Argument((str, list), "a text, or a list of texts"),
    "tensor_parallel_size": GPUS,
    "pipeline_parallel_size": GPUS,
    "max_num_seqs": COUNT,
    "max_num_batched_tokens": COUNT,
    "max_lora_rank": COUNT,
    "max_loras": COUNT,
    "block_size": COUNT,
    "max_model_len": _LENGTH,
    "gpu_memory_utilization": SHARE,
    "swap_space": Argument((int, float), "a number of GiB from 0 on", 0),
    "cpu_offload_gb": Argument((int, float), "a number of GiB from 0 on", 0),
    "enforce_eager": SWITCH,
    "enable_prefix_caching": SWITCH,
    "enable_chunked_prefill": SWITCH,
    "trust_remote_code": SWITCH,
    "disable_log_stats": SWITCH,
    # The backend reads this one itself, as a text, too.
    "enable_lora": Argument((bool, str), "true or false"),
}
# What a model's size follows from.
_SIZED = ("model", "dtype", "quantization", "kv_cache_dtype")


def is_vllm(head: bytes) -> bool:
    """Whether a `model.json` holds engine arguments, by what it begins with."""
    return head.lstrip().startswith(b"{") and _MARKS.search(head) is not None


def read_vllm(source: ModelSource) -> ModelFacts:
    """The facts of one file; no weights are looked at.

    Raises:
        DamagedError: TG102, it is no JSON object.
        OSError: it cannot be opened.
    """
    facts = with_arguments(source.facts, _object(source.file))
    files, more = _adapters(source, facts.vllm is not None and facts.vllm.lora)
    versions = (ModelVersion(source.version, files),)
    return replace(facts, versions=versions, findings=(*facts.findings, *more))


def with_arguments(facts: ModelFacts, arguments: Mapping[str, Any]) -> ModelFacts:
    """What the arguments say, and what is wrong with them."""
    findings = list(_faults(facts, arguments))
    wrong = {item.location.field for item in findings if item.severity is Severity.ERROR}
    sound = {key: value for key, value in arguments.items() if key not in wrong}
    length = sound.get("max_model_len", 0)
    vllm = VllmFacts(
        model=sound.get("model", ""),
        tensor_parallel=sound.get("tensor_parallel_size", 1),
        pipeline_parallel=sound.get("pipeline_parallel_size", 1),
        memory_share=float(sound.get("gpu_memory_utilization", VLLM_MEMORY_SHARE)),
        max_length=length if isinstance(length, int) else 0,
        statistics=not sound.get("disable_log_stats", False),
        lora=str(sound.get("enable_lora", False)).lower() == "true",
        size=_size(sound),
    )
    producer = f"vLLM arguments for {vllm.model}" if vllm.model else "vLLM arguments"
    return replace(facts, vllm=vllm, producer=producer, findings=(*facts.findings, *findings))


def _size(arguments: Mapping[str, Any]) -> LanguageModelSize | None:
    """How large the model is on its GPUs: what each of them leaves to the CPU is not there."""
    size = size_of(*(arguments.get(key, "") for key in _SIZED))
    left = float(arguments.get("cpu_offload_gb", 0)) * 2**30
    if size is None or not left:
        return size
    split = arguments.get("tensor_parallel_size", 1) * arguments.get("pipeline_parallel_size", 1)
    kept = max(1, size.weight_bytes - int(left * split))
    return replace(size, weight_bytes=kept, source=f"{size.source}, less cpu_offload_gb")


def _object(path: Path) -> dict[str, Any]:
    text = read_head(path, _MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise DamagedError(f"the file has more than {_MAX_BYTES >> 20} MiB")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"the file is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise DamagedError("the file holds no JSON object with engine arguments")
    return found


def _faults(facts: ModelFacts, arguments: Mapping[str, Any]) -> Iterator[Finding]:
    """What vLLM would refuse, and what it may."""
    tell = facts.finding
    if "model" not in arguments:
        fix = 'Write "model": the name on the hub, or the folder on the server.'
        yield tell("TG152", 'no "model" is named', fix=fix, field="model")
    yield from argument_faults(facts, arguments, _ARGUMENTS)
    for key in ("model", "tokenizer"):
        if isinstance(arguments.get(key), str):
            yield from path_faults(facts, key, arguments[key])


def _adapters(source: ModelSource, wanted: bool) -> tuple[tuple[FileRef, ...], tuple[Finding, ...]]:
    """The file of adapters that `enable_lora` asks for, and paths in it that lead nowhere."""
    path = source.file.with_name(ADAPTERS_FILE)
    tell = source.facts.finding
    if not source.holds(path):
        if not wanted:
            return (), ()
        message = f'"enable_lora" is true, and there is no {ADAPTERS_FILE} beside {VLLM_FILE}'
        return (), (tell("TG152", message, fix="Add it: adapter names with their folders."),)
    name = path.relative_to(source.root).as_posix()
    files = (FileRef(name, ADAPTERS_FILE, path.stat().st_size),)
    try:
        adapters = _object(path)
    except DamagedError as error:
        return files, (tell("TG152", f"{ADAPTERS_FILE}: {error.what}"),)
    absent = [
        f"{adapter}: {folder}"
        for adapter, folder in adapters.items()
        if not (isinstance(folder, str) and folder.startswith("/") and os.path.lexists(folder))
    ]
    if not absent:
        return files, ()
    message = f"{ADAPTERS_FILE} names folders that are not on this machine: {', '.join(absent[:4])}"
    fix = "The server must have each under its whole path."
    return files, (tell("TG154", message, severity=Severity.WARNING, fix=fix),)
