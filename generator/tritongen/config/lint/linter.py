"""All rules, and the order in which their findings are told."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from tritongen.config.lint import (
    accelerators,
    advice,
    backend_onnxruntime,
    backend_python,
    backend_registry,
    batching,
    dtypes,
    ensemble,
    ensemble_models,
    files_layout,
    inputs_outputs,
    instances,
    known_fields,
    parameters,
    rate_limiter,
    sequence,
    threads,
    warmup,
)
from tritongen.config.lint.linted_model import LintedModel, linted_model
from tritongen.config.lint.repository_view import LintContext, ModelView, RepositoryView
from tritongen.model.findings import Finding, Severity

Rule = Callable[[LintedModel, LintContext], Iterable[Finding]]
RepositoryRule = Callable[[Mapping[str, LintedModel], LintContext], Iterable[Finding]]

# Rules of the folder and the text, which need no readable configuration.
FOLDER_RULES: tuple[Rule, ...] = (
    known_fields.text_faults,
    known_fields.addressable_name,
    known_fields.no_configuration,
    files_layout.version_names,
    files_layout.oversized_versions,
    files_layout.stray_files,
)

RULES: tuple[Rule, ...] = (
    known_fields.newer_fields,
    known_fields.name_is_folder,
    known_fields.backend_and_platform,
    known_fields.backend_is_installed,
    known_fields.runtime_library,
    known_fields.repository_agents,
    known_fields.batching_strategy,
    known_fields.model_metrics,
    files_layout.served_versions,
    files_layout.listed_versions,
    files_layout.model_file,
    files_layout.data_paths,
    inputs_outputs.complete,
    inputs_outputs.dimensions,
    inputs_outputs.reshapes,
    inputs_outputs.formats,
    inputs_outputs.tensorrt_only,
    inputs_outputs.names,
    inputs_outputs.labels,
    inputs_outputs.batch_io,
    batching.batch_size,
    batching.preferred_sizes,
    batching.priorities,
    batching.ordering,
    batching.pointless_batcher,
    batching.limited_queue,
    batching.response_cache,
    sequence.controls,
    sequence.strategies,
    sequence.initial_states,
    instances.kinds_and_gpus,
    instances.backend_kinds,
    instances.profiles,
    instances.counts,
    instances.kinds_written,
    instances.group_names,
    instances.passive_only,
    instances.limiter_settings,
    warmup.samples,
    ensemble.platform_and_steps,
    ensemble.foreign_settings,
    ensemble.steps,
    ensemble.data_flow,
    parameters.backend_parameters,
    backend_registry.batch_support,
    backend_registry.kept_states,
    backend_registry.tensor_names,
    dtypes.refused_types,
    dtypes.optional_inputs,
    threads.limits,
    advice.left_to_completion,
    advice.no_tensors,
    advice.leading_dynamic,
    advice.unused_batching,
    advice.backend_written,
)

# Rules of models that one backend serves.
BACKEND_RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "fil": (backend_registry.classifier_threshold,),
        "onnxruntime": (
            accelerators.graph_level,
            accelerators.accelerators,
            backend_onnxruntime.inspected_faults,
            backend_onnxruntime.non_tensors,
            backend_onnxruntime.completed_batching,
            backend_onnxruntime.input_count,
            backend_onnxruntime.compared_tensors,
            backend_onnxruntime.control_tensors,
            backend_onnxruntime.without_completion,
        ),
        "python": (
            backend_python.execution_environment,
            backend_python.element_types,
            backend_python.ignored_operations,
            backend_python.decoupled_policy,
        ),
        "pytorch": (advice.python_runtime_filename,),
    }
)

REPOSITORY_RULES: tuple[RepositoryRule, ...] = (
    ensemble_models.ensembles,
    threads.core_budget,
    threads.process_wide,
    rate_limiter.limiter_resources,
    rate_limiter.waiting_callers,
)

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.INFO)


def lint(view: RepositoryView, context: LintContext) -> tuple[Finding, ...]:
    """Every finding of a repository, sorted by model, file, line, severity and code.

    Never raises for what the repository holds. The same view and context give the same findings.
    """
    linter = Linter(context)
    for model in view.models:
        linter.add(model)
    return linter.findings()


class Linter:
    """Lints a repository model by model, and keeps of each only what the others' rules need."""

    def __init__(self, context: LintContext) -> None:
        self._context = context
        self._models: dict[str, LintedModel] = {}
        self._found: set[Finding] = set()

    def add(self, view: ModelView) -> None:
        """Lint one model, its variants included."""
        model = linted_model(view, self._context)
        self._found.update(_check(model, self._context))
        for variant in view.variants:
            other = linted_model(view, self._context, variant=variant)
            self._found.update(_check(other, self._context))
        self._models[model.name] = model.reduced()

    def findings(self) -> tuple[Finding, ...]:
        """Every finding on the models so far, those on all of them together included, sorted."""
        found = set(self._found)
        for rule in REPOSITORY_RULES:
            found.update(rule(self._models, self._context))
        return tuple(sorted(found, key=_key))


def _check(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    for rule in FOLDER_RULES:
        yield from rule(model, context)
    if model.parsed.ok:
        for rule in (*RULES, *BACKEND_RULES.get(model.config.backend, ())):
            yield from rule(model, context)


def _key(item: Finding) -> tuple[str, str, int, int, str, str, str]:
    place = item.location
    severity = _ORDER.index(item.severity)
    return item.model, place.path, place.line, severity, item.code, place.field, item.message
