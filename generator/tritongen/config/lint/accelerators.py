"""`optimization` as the onnxruntime backend reads it: accelerators and graph level."""

from collections.abc import Iterator
from types import MappingProxyType

from tritongen.config.lint.instances import KIND_AUTO, KIND_GPU, resolved_groups
from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import ConfigMessage, map_path
from tritongen.model.findings import Finding
from tritongen.model.releases import at_least

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


def accelerators(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Names and options of execution accelerators."""
    on_gpu = any(group.kind in {KIND_GPU, KIND_AUTO} for group in resolved_groups(model, context))
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
    model: LintedModel, field: str, accelerator: ConfigMessage, context: LintContext
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
    model: LintedModel, field: str, accelerator: ConfigMessage, release: str
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
