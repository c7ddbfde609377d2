"""The onnxruntime backend: the configuration against the model, accelerators, graph level.

It compares the two when it loads a model. The facts come from the model file, so that the same
comparison is made without a server.
"""

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

from tritongen.config.lint.instances import KIND_AUTO, KIND_GPU, resolved_groups
from tritongen.config.lint.linted_model import LintedModel, show_dims
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import Message, map_path
from tritongen.config.protobuf import dtype_name, dtype_of
from tritongen.model.backends.onnxruntime import ONNXRUNTIME
from tritongen.model.declared_tensors import with_reported
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.releases import at_least
from tritongen.model.tensors import Shape, TensorKind, TensorSpec, is_dynamic, show_shape, wire_dims

# What inspection finds in a file that its backend then refuses.
_FILE_CODES = frozenset(
    {"TG102", "TG103", "TG108", "TG110", "TG111", "TG112", "TG113", "TG117", "TG118"}
)
_UNREAD_CODES = frozenset({"TG102", "TG103"})
_NON_TENSOR_CODES = frozenset({"TG110", "TG111", "TG112"})
_SHRINKAGE = "memory.enable_memory_arena_shrinkage"
_CUDA_SINCE = "24.07"
_TRT_OPTIONS_SINCE = "24.04"
_TRT_BF16_SINCE = "26.02"
_TENSORRT_FIRST = frozenset(
    {
        "precision_mode",
        "max_workspace_size_bytes",
        "int8_calibration_table_name",
        "int8_use_native_calibration_table",
        "trt_engine_cache_enable",
        "trt_engine_cache_path",
    }
)
_TENSORRT = _TENSORRT_FIRST | {
    "trt_engine_cache_prefix",
    "trt_timing_cache_enable",
    "trt_timing_cache_path",
    "trt_force_timing_cache",
    "trt_max_partition_iterations",
    "trt_min_subgraph_size",
    "trt_dla_enable",
    "trt_dla_core",
    "trt_dump_subgraphs",
    "trt_force_sequential_engine_build",
    "trt_context_memory_sharing_enable",
    "trt_layer_norm_fp32_fallback",
    "trt_detailed_build_log",
    "trt_build_heuristics_enable",
    "trt_sparsity_enable",
    "trt_builder_optimization_level",
    "trt_auxiliary_streams",
    "trt_tactic_sources",
    "trt_extra_plugin_lib_paths",
    "trt_profile_min_shapes",
    "trt_profile_max_shapes",
    "trt_profile_opt_shapes",
    "trt_cuda_graph_enable",
    "trt_dump_ep_context_model",
    "trt_ep_context_file_path",
    "trt_ep_context_embed_mode",
}
_PRECISIONS = frozenset({"FP32", "FP16", "INT8"})
# The backend always writes these from the top-level parameters, over what the accelerator says.
_OVERWRITTEN_CUDA = frozenset(
    {
        "cudnn_conv_algo_search",
        "gpu_mem_limit",
        "arena_extend_strategy",
        "do_copy_in_default_stream",
    }
)
_LEVELS = MappingProxyType(
    {-1: "basic optimisations only", 1: "extended optimisations", 2: "no optimisation at all"}
)


def compared(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """The configuration against a readable model, the runtime's own word included."""
    facts = model.onnx
    if facts is None or any(item.code in _UNREAD_CODES for item in facts.findings):
        return
    facts = with_reported(facts, model.view.trial)
    yield from _non_tensors(model, facts)
    yield from _completed_batching(model, facts, context)
    yield from _input_count(model, facts, context)
    yield from _tensors(model, facts)
    yield from _control_tensors(model, facts)


def _is_inferred(model: LintedModel, direction: str, spec: TensorSpec) -> bool:
    """Whether the runtime may know a narrower shape of an output than the file declares.

    It infers shapes when it loads a model; only its own report says which.
    """
    trial = model.view.trial
    reported = trial.reported_outputs if trial is not None else ()
    return direction == "output" and all(item.name != spec.name for item in reported)


def inspected_faults(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """What inspection found in the model file, such as an opset too new for the release."""
    facts = model.onnx
    if facts is None:
        return
    for item in facts.findings:
        if item.severity is Severity.ERROR and item.code in _FILE_CODES:
            path = item.location.path or facts.path
            yield replace(item, model=model.name, location=replace(item.location, path=path))


def _non_tensors(model: LintedModel, facts: ModelFacts) -> Iterator[Finding]:
    """A sequence, map, optional or sparse value stops the model, listed or not."""
    told = any(item.code in _NON_TENSOR_CODES for item in facts.findings)
    for direction, specs in (("input", facts.inputs), ("output", facts.outputs)):
        for spec in specs:
            if spec.kind is not TensorKind.TENSOR and not told:
                yield model.folder_error(
                    "TG518",
                    f"{direction} '{spec.name}' of the model is {spec.declared_type or spec.kind}, "
                    "no tensor; the backend refuses the whole model",
                )


def _completed_batching(
    model: LintedModel, facts: ModelFacts, context: LintContext
) -> Iterator[Finding]:
    """Auto-completion refuses a batch size for a model that does not look batchable."""
    config = model.config
    completes = context.autocomplete and not (config.input and config.output)
    if not completes or not model.batching:
        return
    for spec in (*facts.inputs, *facts.outputs):
        if spec.kind is TensorKind.TENSOR and (not spec.shape or not is_dynamic(spec.shape[0])):
            yield model.error(
                "TG509",
                "max_batch_size",
                f"'{spec.name}' has shape {show_shape(spec.shape)}: auto-completion refuses "
                "max_batch_size > 0 for a first dimension that is not dynamic",
            )
            return


def _input_count(model: LintedModel, facts: ModelFacts, context: LintContext) -> Iterator[Finding]:
    """Every model input must be listed."""
    config = model.config
    filled = context.autocomplete and not (config.input and config.output)
    if filled and not config.input:
        return
    batcher = config.sequence_batching
    expected = sum(not tensor.optional for tensor in config.input)
    expected += sum(len(item.target_name) for item in config.batch_input)
    expected += len(batcher.control_input) + len(batcher.state)
    provided = len(facts.inputs)
    if expected != provided:
        listed = {tensor.name for tensor in config.input}
        missing = [spec.name for spec in facts.inputs if spec.name not in listed]
        note = f"; not listed: {', '.join(missing)}" if missing else ""
        yield model.error(
            "TG506",
            "input",
            f"the configuration expects {expected} inputs, the model provides {provided}{note}",
        )


def _tensors(model: LintedModel, facts: ModelFacts) -> Iterator[Finding]:
    """Names, types and dims of every listed tensor against the model's own."""
    for direction, specs in (("input", facts.inputs), ("output", facts.outputs)):
        known = {spec.name: spec for spec in specs}
        for field, tensor in model.each(direction):
            spec = known.get(tensor.name)
            if spec is None:
                # An optional input may be an initialiser, which facts leave out.
                if tensor.name and not (direction == "input" and tensor.optional):
                    yield model.error(
                        "TG507",
                        f"{field}.name",
                        f"the model has no {direction} '{tensor.name}'; it has "
                        f"{', '.join(sorted(known)) or 'none'}",
                    )
            elif spec.kind is TensorKind.TENSOR:
                yield from _dtype(model, field, tensor, spec)
                yield from _shape(model, field, direction, tensor, spec)


def _dtype(model: LintedModel, field: str, tensor: Message, spec: TensorSpec) -> Iterator[Finding]:
    if spec.dtype is None:
        yield model.error(
            "TG518",
            f"{field}.data_type",
            f"'{spec.name}' has type {spec.declared_type} in the model, for which Triton has no "
            "name",
        )
    elif tensor.data_type and dtype_of(tensor.data_type) is not spec.dtype:
        yield model.error(
            "TG508",
            f"{field}.data_type",
            f"'{spec.name}': the configuration says {dtype_name(tensor.data_type)}, the model "
            f"provides {spec.dtype.config_name}",
            f"Write {spec.dtype.config_name}.",
        )


def _shape(
    model: LintedModel, field: str, direction: str, tensor: Message, spec: TensorSpec
) -> Iterator[Finding]:
    # ONNX Runtime reports an undeclared shape as that of a scalar.
    shape: Shape = spec.shape if spec.shape is not None else ()
    path = f"{field}.reshape" if tensor.HasField("reshape") else f"{field}.dims"
    dims = tuple(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)
    undeclared = " (its shape is not declared)" if spec.shape is None else ""
    inferred = _is_inferred(model, direction, spec)
    report = model.warning if inferred and spec.shape is None else model.error
    if direction == "input" and tensor.allow_ragged_batch:
        if len(shape) != 1 or not is_dynamic(shape[0]):
            yield model.error(
                "TG513",
                f"{field}.allow_ragged_batch",
                f"ragged input '{spec.name}' has shape {show_shape(spec.shape)} in the model, not "
                "[-1]",
            )
        return
    if model.batching and (not shape or not is_dynamic(shape[0])):
        yield report(
            "TG509",
            "max_batch_size",
            f"'{spec.name}' has shape {show_shape(spec.shape)}{undeclared}: for batching the first "
            "dimension must be dynamic",
        )
        return
    if not shape:
        if any(dim != 1 for dim in dims):
            yield report(
                "TG511",
                path,
                f"'{spec.name}' is a scalar{undeclared}: dims must be 1, not {show_dims(dims)}",
            )
        return
    expected = shape[1:] if model.batching else shape
    if _matches(dims, expected, exact=direction == "output"):
        return
    narrower = inferred and _matches(dims, expected, exact=False)
    report = model.warning if narrower else model.error
    unless = "; it loads only where the runtime infers these sizes" if narrower else ""
    yield report(
        "TG510",
        path,
        f"'{spec.name}': the configuration says {show_dims(dims)}, the model has "
        f"{show_shape(shape)}{unless}",
        f"Write dims: {show_dims(wire_dims(expected))}.",
    )


def _matches(dims: tuple[int, ...], shape: Shape, *, exact: bool) -> bool:
    """A fixed size must be repeated; a dynamic one takes any size, -1 alone for outputs."""
    if len(dims) != len(shape):
        return False
    for dim, own in zip(dims, shape, strict=True):
        if is_dynamic(own):
            if exact and dim != -1:
                return False
        elif dim != own:
            return False
    return True


def _control_tensors(model: LintedModel, facts: ModelFacts) -> Iterator[Finding]:
    """Controls and states of sequences are inputs of the model."""
    known = {spec.name: spec for spec in facts.inputs}
    results = {spec.name for spec in facts.outputs}
    for field, control in model.each("sequence_batching.control_input"):
        spec = known.get(control.name)
        if spec is None:
            yield model.error(
                "TG514", f"{field}.name", f"the model has no input '{control.name}' for the control"
            )
            continue
        rest = spec.shape[1:] if spec.shape and model.batching else spec.shape
        if rest is not None and rest != (1,):
            yield model.error(
                "TG514",
                field,
                f"control tensor '{control.name}' has shape {show_shape(spec.shape)}; it must be "
                "[1] after the batch axis",
            )
    for field, state in model.each("sequence_batching.state"):
        if state.input_name not in known:
            yield model.error(
                "TG514", f"{field}.input_name", f"the model has no input '{state.input_name}'"
            )
        if state.output_name not in results:
            yield model.error(
                "TG514", f"{field}.output_name", f"the model has no output '{state.output_name}'"
            )


def without_completion(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """With auto-completion off, nobody lists the inputs for you."""
    if not model.config.input and not context.autocomplete and model.written:
        yield model.error("TG506", "input", "no inputs are listed, and auto-completion is off")


def graph_level(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """ONNX Runtime's levels are not what the schema's comment says."""
    level = model.config.optimization.graph.level
    if level == 0:
        return
    report = model.warning if level in {2, -1} else model.info
    meaning = _LEVELS.get(level, "all optimisations, the same as 0")
    yield report(
        "TG625", "optimization.graph.level", f"graph level {level} means {meaning}; 0 means all"
    )


def arena_shrinkage(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """An arena that is off cannot be shrunk: each run fails, and the first is the warm-up's."""
    places = model.parameters.get(_SHRINKAGE, "").split(";")
    arena = model.parameters.get("enable_mem_arena", "").lower()
    if arena in ONNXRUNTIME.false_texts and any(one.startswith("cpu") for one in places):
        message = "asks every run to shrink the CPU's arena, which enable_mem_arena turns off"
        yield model.error("TG526", map_path("parameters", _SHRINKAGE), message)


def accelerators(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Names and options of execution accelerators."""
    kinds = {KIND_GPU, KIND_AUTO}
    if context.cores is not None and context.gpus is None:
        kinds = {KIND_GPU}  # see `promised_gpus`
    on_gpu = any(group.kind in kinds for group in resolved_groups(model, context))
    both = "optimization.execution_accelerators"
    for field, accelerator in model.each(f"{both}.gpu_execution_accelerator"):
        if not on_gpu:
            yield model.warning(
                "TG623", field, f'"{accelerator.name}" is looked at for KIND_GPU instances only'
            )
        yield from _gpu(model, field, accelerator, context)
    for field, accelerator in model.each(f"{both}.cpu_execution_accelerator"):
        if accelerator.name != "openvino":
            yield _unknown(model, field, accelerator.name, "openvino")
        for key in sorted(accelerator.parameters):
            yield model.warning(
                "TG624",
                map_path(f"{field}.parameters", key),
                f'"{key}" is never read: the backend passes no option to OpenVINO, which takes '
                "every core",
            )


def _unknown(model: LintedModel, field: str, name: str, known: str) -> Finding:
    return model.error(
        "TG515", f"{field}.name", f'unknown execution accelerator "{name}" (known here: {known})'
    )


def _gpu(
    model: LintedModel, field: str, accelerator: Message, context: LintContext
) -> Iterator[Finding]:
    release = context.release.tag
    if accelerator.name == "tensorrt":
        yield from _tensorrt(model, field, accelerator, release)
    elif accelerator.name == "cuda" and at_least(release, _CUDA_SINCE):
        for key in sorted(set(accelerator.parameters) & _OVERWRITTEN_CUDA):
            yield model.warning(
                "TG624",
                map_path(f"{field}.parameters", key),
                f'"{key}" here is overwritten; the backend takes it from the top-level parameters',
                f'Write parameters {{ key: "{key}" … }} at the top level.',
            )
    else:
        known = "tensorrt, cuda" if at_least(release, _CUDA_SINCE) else "tensorrt"
        yield _unknown(model, field, accelerator.name, known)


def _tensorrt(
    model: LintedModel, field: str, accelerator: Message, release: str
) -> Iterator[Finding]:
    known = _TENSORRT if at_least(release, _TRT_OPTIONS_SINCE) else _TENSORRT_FIRST
    precisions = _PRECISIONS | ({"BF16"} if at_least(release, _TRT_BF16_SINCE) else set())
    for key, value in sorted(accelerator.parameters.items()):
        path = map_path(f"{field}.parameters", key)
        if key not in known:
            yield model.error("TG516", path, f'"{key}" is no option of the TensorRT accelerator')
        elif key == "precision_mode" and value not in precisions:
            yield model.error(
                "TG516",
                path,
                f'precision_mode "{value}" is not one of {", ".join(sorted(precisions))}',
                "Use one of them.",
            )
