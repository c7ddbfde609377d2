"""Language models: vLLM's engines, and the sets of models that serve a TensorRT-LLM engine.

Both batch requests while these are being answered. What Triton does before such an engine, a
batcher with a delay above all, only keeps requests from it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from tritongen.config.lint.instances import KIND_AUTO, KIND_GPU, KIND_MODEL, resolved_groups
from tritongen.config.lint.linted_model import LintedModel, Models
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import map_path
from tritongen.model.engine_facts import VllmFacts
from tritongen.model.findings import Finding, Severity

_VLLM_FILE = "model.json"
_POLICY = "model_transaction_policy.decoupled"
_BATCHER = "dynamic_batching"
_DELAY = f"{_BATCHER}.max_queue_delay_microseconds"
# Chosen: an engine's iteration takes some milliseconds, so that waiting for longer fills no batch.
_LONG_DELAY_US = 10_000
_ENGINE_PATH, _STRATEGY, _DEVICES = "gpt_model_path", "gpt_model_type", "gpu_device_ids"
_TOKENIZER, _LLM_API = "tokenizer_dir", "model.yaml"
_KV_SHARE = "kv_cache_free_gpu_mem_fraction"
# Of one server; chosen.
_MAX_GPUS = 1024
# The backend's own default.
_KV_DEFAULT = 0.9


def engine_arguments(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """The file of engine arguments must be there, and what inspection found in it."""
    facts = model.view.facts
    for folder in model.served.values():
        path = f"{folder}/{_VLLM_FILE}"
        if not model.view.exists(path):
            message = f"{path} does not exist: vLLM reads its engine's arguments from it"
            fix = 'Write one: {"model": "NAME OR FOLDER", "gpu_memory_utilization": 0.9}.'
            yield model.folder_error("TG454", message, fix, path=path)
        elif facts is None or (facts.vllm is None and not facts.findings):
            message = f'{path} holds no engine arguments: it must be a JSON object with "model"'
            yield model.folder_error("TG152", message, path=path)
    for item in facts.findings if facts is not None else ():
        if item.severity is not Severity.INFO:
            yield replace(item, model=model.name)


def vllm_settings(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """What the backend completes itself must not be written otherwise."""
    config = model.config
    if config.max_batch_size > 0:
        message = f"vLLM refuses max_batch_size {config.max_batch_size}: its engine batches itself"
        yield model.error("TG542", "max_batch_size", message, "Write max_batch_size: 0.")
    decoupled = config.model_transaction_policy.decoupled
    if config.HasField("model_transaction_policy") and not decoupled:
        yield model.error("TG525", _POLICY, "vLLM answers with any number of responses")
    elif not decoupled and not context.autocomplete:
        message = "vLLM needs the decoupled policy, and auto-completion is off"
        yield model.error("TG525", "", message)
    for field in (_BATCHER, "sequence_batching"):
        if config.HasField(field):
            message = "requests wait here for company that the engine gives them at any time"
            yield model.warning("TG545", field, message, f"Remove {field}.")


def vllm_gpus(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """An engine over several GPUs sees them under KIND_MODEL only, and needs them all."""
    facts = model.view.facts.vllm if model.view.facts is not None else None
    if facts is None:
        return
    split = f"tensor parallel {facts.tensor_parallel} × pipeline parallel {facts.pipeline_parallel}"
    if context.gpus is not None and facts.gpus > context.gpus:
        has = "none" if context.gpus == 0 else str(context.gpus)
        message = f"its engine takes {facts.gpus} GPUs ({split}), and the server has {has}"
        yield model.error("TG543", "", message)
    for group in resolved_groups(model, context):
        if facts.gpus > 1 and group.kind in {KIND_AUTO, KIND_GPU}:
            what = "KIND_GPU" if group.group is not None else "no instance_group"
            message = f"{split}, but {what} gives each instance a single GPU"
            yield model.error("TG543", group.field, message, "Write kind: KIND_MODEL and count: 1.")


def trtllm_settings(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """The parameters without which TensorRT-LLM's backend starts no engine."""
    parameters = model.parameters
    path = parameters.get(_ENGINE_PATH, "")
    field = map_path("parameters", _ENGINE_PATH)
    if not path:
        message = f"{_ENGINE_PATH} is not set: the backend has no engine to load"
        yield model.error("TG542", field, message, "Name the engine's folder on the server.")
    elif not path.startswith("/") and not _open(path):
        message = f"{_ENGINE_PATH} is {path}: the server looks for it from its working directory"
        yield model.warning("TG651", field, message, "Write the whole path on the server.")
    if parameters.get(_STRATEGY) == "V1":
        message = "V1 answers a whole batch before it takes the next request"
        fix = "Write inflight_fused_batching."
        yield model.warning("TG545", map_path("parameters", _STRATEGY), message, fix)
    delay = model.config.dynamic_batching.max_queue_delay_microseconds
    if delay > _LONG_DELAY_US:
        message = f"requests wait {delay / 1000:g} ms, while the engine takes them at any iteration"
        yield model.warning("TG545", _DELAY, message, "Write 0, or some hundred.")
    yield from _trtllm_devices(model, context)


def _open(value: str) -> bool:
    """Whether a value is a placeholder, which another rule tells."""
    return value.startswith("${")


def _trtllm_devices(
    model: LintedModel, context: LintContext, *, refused: bool = False
) -> Iterator[Finding]:
    """GPUs are given by a parameter; groups are for the process that feeds them.

    Args:
        model: with an engine.
        context: of the server.
        refused: whether instances without GPUs of their own are refused.
    """
    devices, field = model.parameters.get(_DEVICES, ""), map_path("parameters", _DEVICES)
    listed = [part.strip() for part in devices.replace(";", ",").split(",") if part.strip()]
    if listed and not _open(devices):
        wrong = [part for part in listed if not re.fullmatch(r"[0-9]{1,6}", part)]
        if wrong:
            message = f'{_DEVICES} is "{devices}"; it lists numbers: 0,1 or, by instance, 0,1;2,3'
            yield model.error("TG542", field, message)
        elif context.gpus is not None and max(map(int, listed)) >= context.gpus:
            message = f"{_DEVICES} names GPU {max(map(int, listed))}; the server has {context.gpus}"
            yield model.error("TG543", field, message)
    elif context.gpus == 0:
        yield model.error("TG543", "", "TensorRT-LLM serves on GPUs only, and the server has none")
    instances = 0
    for path, group in model.each("instance_group"):
        instances += max(group.count, 1)
        if group.gpus:
            message = f"instance_group.gpus places no engine; {_DEVICES} does"
            yield model.warning("TG543", f"{path}.gpus", message)
    if instances > 1 and devices.count(";") + 1 < instances:
        message = f"{instances} instances load as many engines onto the same GPUs"
        fix = f'Write count: 1, or give each its own: {_DEVICES} "0;1".'
        tell = model.error if refused else model.warning
        yield tell("TG543", "instance_group[0].count", message, fix)


def llm_api(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Beside a `model.yaml` of TensorRT-LLM's LLM API, whose own words win over these."""
    if not any(model.view.exists(f"{folder}/{_LLM_API}") for folder in model.served.values()):
        return
    facts = model.view.facts
    for item in facts.findings if facts is not None else ():
        if item.severity is not Severity.INFO:
            yield replace(item, model=model.name)
    if not context.autocomplete:
        message = f"what {_LLM_API} says of batches and streams is read by auto-completion, now off"
        yield model.warning("TG546", "", message, "Let the server complete configurations.")
    yield from _trtllm_devices(model, context, refused=True)
    yield from _llm_api_gpus(model, context)
    for field in ("max_batch_size", "model_transaction_policy"):
        written = model.config.max_batch_size if field == "max_batch_size" else True
        if written and any(line.startswith(field) for line in model.parsed.lines):
            message = f"model.yaml's triton_config says it; a {field} here contradicts that"
            yield model.warning("TG546", field, message, f"Remove {field}.")


def _llm_api_gpus(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """An engine that is split over GPUs needs as many, in each of its lists."""
    template = model.view.facts.template if model.view.facts is not None else None
    engine = template.engine if template is not None else None
    if engine is None:
        return
    field = map_path("parameters", _DEVICES)
    if engine.devices and any(len(own) != engine.split for own in engine.devices):
        sizes = ", ".join(str(len(own)) for own in engine.devices)
        message = f"{_LLM_API} splits the engine over {engine.split} GPUs; {_DEVICES} lists {sizes}"
        yield model.error("TG543", field, message)
    elif context.gpus and engine.split > context.gpus:
        message = f"{_LLM_API} splits its engine over {engine.split} GPUs; there are {context.gpus}"
        yield model.error("TG543", "", message)


def gpu_memory(models: Models, context: LintContext) -> Iterator[Finding]:
    """Each vLLM engine takes its share of a GPU's memory when it starts."""
    taken: dict[int, float] = {}
    engines: dict[int, int] = {}
    for model in models.values():
        if model.vllm is None or not model.parsed.ok:
            continue
        field = "instance_group"
        for gpus, count, path in _engines(model, model.vllm, context):
            field = path
            for gpu in gpus:
                taken[gpu] = taken.get(gpu, 0.0) + count * model.vllm.memory_share
                engines[gpu] = engines.get(gpu, 0) + count
        full = [gpu for gpu, share in taken.items() if share >= 1.0 and engines[gpu] > 1]
        if full:
            gpu = full[0]
            message = (
                f"{engines[gpu]} engines ask for {taken[gpu]:.2f} of the memory of GPU {gpu}; "
                "together they must stay below 1"
            )
            fix = 'Lower "gpu_memory_utilization" in model.json, or write count: 1.'
            yield model.error("TG544", field, message, fix)
            return


def _engines(
    model: LintedModel, facts: VllmFacts, context: LintContext
) -> Iterator[tuple[Iterable[int], int, str]]:
    """GPUs, engines on each and the field that says so, of every group."""
    for group in resolved_groups(model, context):
        if group.kind == KIND_MODEL:
            yield range(min(facts.gpus, _MAX_GPUS)), group.count, f"{group.field}.count"
        elif group.group is not None and group.group.gpus:
            yield tuple(group.group.gpus), group.count, f"{group.field}.count"
        else:
            yield range(context.gpus or 1), group.count, group.field


def trtllm_sets(models: Models, _context: LintContext) -> Iterator[Finding]:
    """Models of one TensorRT-LLM set say the same where they speak of the same."""
    engines = {name: one for name, one in models.items() if _is_engine(one)}
    if not engines:
        return
    yield from _kv_shares(engines)
    told = {
        name: model.parameters[_TOKENIZER]
        for name, model in models.items()
        if _TOKENIZER in model.parameters and not _open(model.parameters[_TOKENIZER])
    }
    first = next(iter(told), "")
    for name, folder in told.items():
        if folder != told[first]:
            message = f"{_TOKENIZER} is {folder}, and {told[first]} in {first}"
            field = map_path("parameters", _TOKENIZER)
            yield models[name].warning("TG546", field, message, "Name the engine's own tokenizer.")
    callers = [one for one in models.values() if "tensorrt_llm_model_name" in one.parameters]
    for caller in callers:
        engine = engines.get(caller.parameters["tensorrt_llm_model_name"])
        if engine is not None:
            yield from _against_engine(caller, engine)


def _is_engine(model: LintedModel) -> bool:
    """Whether it is the part of a set that holds the engine."""
    return model.config.backend == "tensorrtllm" or _ENGINE_PATH in model.parameters


def _kv_shares(engines: Mapping[str, LintedModel]) -> Iterator[Finding]:
    """Each engine takes its share of what the others have left."""
    if len(engines) < 2:
        return
    for name, model in engines.items():
        text, devices = model.parameters.get(_KV_SHARE, ""), model.parameters.get(_DEVICES, "")
        if devices and not _open(devices):
            continue
        try:
            share = _KV_DEFAULT if not text or _open(text) else float(text)
        except ValueError:
            continue
        if share > 1 / len(engines):
            field = map_path("parameters", _KV_SHARE)
            message = (
                f"{len(engines)} engines share the GPUs, and the KV cache of {name} takes "
                f"{share:g} of the memory that is left when it loads"
            )
            fix = f"Lower {_KV_SHARE}, or part them with {_DEVICES}."
            yield model.warning("TG544", field, message, fix)


def _against_engine(caller: LintedModel, engine: LintedModel) -> Iterator[Finding]:
    """A model in Python that calls the engine, once for each of its instances at a time."""
    own = caller.config.model_transaction_policy.decoupled
    if own != engine.config.model_transaction_policy.decoupled:
        message = f"decoupled is {str(own).lower()} here and not in {engine.name}"
        yield caller.warning("TG546", _POLICY, message, "Say the same in both.")
    count = sum(max(group.count, 1) for group in caller.config.instance_group)
    most = engine.config.max_batch_size
    if 0 < count < most:
        message = f"{count} instances hold one request each; the engine could answer {most} at once"
        fix = f"Write count: {most}."
        yield caller.warning("TG546", "instance_group[0].count", message, fix)
