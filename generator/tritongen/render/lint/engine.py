"""All rules, and the order in which their findings are told."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from tritongen.model.findings import Finding, Severity
from tritongen.render.lint import (
    accelerators,
    advice,
    backend_onnxruntime,
    backend_python,
    batching,
    dtypes,
    ensemble,
    ensemble_models,
    instances,
    layout,
    limiter,
    parameters,
    registry,
    schema,
    sequence,
    tensors,
    threads,
    warmup,
)
from tritongen.render.lint.model import LintedModel, linted_model
from tritongen.render.lint.shelf import Shelf
from tritongen.render.lint.view import LintContext, ModelView, RepositoryView

Rule = Callable[[LintedModel, LintContext], Iterable[Finding]]
RepositoryRule = Callable[[Mapping[str, LintedModel], LintContext], Iterable[Finding]]

# Rules of the folder and the text, which need no readable configuration.
FOLDER_RULES: tuple[Rule, ...] = (
    schema.text_faults,
    schema.addressable_name,
    schema.no_configuration,
    layout.version_names,
    layout.oversized_versions,
    layout.stray_files,
)

RULES: tuple[Rule, ...] = (
    schema.newer_fields,
    schema.name_is_folder,
    schema.backend_and_platform,
    schema.backend_is_installed,
    schema.runtime_library,
    schema.repository_agents,
    schema.batching_strategy,
    schema.model_metrics,
    layout.served_versions,
    layout.listed_versions,
    layout.model_file,
    layout.data_paths,
    tensors.complete,
    tensors.dimensions,
    tensors.reshapes,
    tensors.formats,
    tensors.tensorrt_only,
    tensors.names,
    tensors.labels,
    tensors.batch_io,
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
    registry.batch_support,
    registry.kept_states,
    registry.tensor_names,
    registry.classifier_threshold,
    dtypes.refused_types,
    dtypes.optional_inputs,
    accelerators.graph_level,
    accelerators.accelerators,
    backend_onnxruntime.inspected_faults,
    backend_onnxruntime.non_tensors,
    backend_onnxruntime.completed_batching,
    backend_onnxruntime.input_count,
    backend_onnxruntime.compared_tensors,
    backend_onnxruntime.control_tensors,
    backend_onnxruntime.without_completion,
    backend_python.execution_environment,
    backend_python.element_types,
    backend_python.ignored_operations,
    backend_python.decoupled_policy,
    threads.limits,
    advice.left_to_completion,
    advice.no_tensors,
    advice.leading_dynamic,
    advice.unused_batching,
    advice.backend_written,
    advice.python_runtime_filename,
)

REPOSITORY_RULES: tuple[RepositoryRule, ...] = (
    ensemble_models.ensembles,
    threads.core_budget,
    threads.process_wide,
    limiter.limiter_resources,
    limiter.waiting_callers,
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
        self._models = Shelf()
        self._found: set[Finding] = set()

    def add(self, view: ModelView) -> None:
        """Lint one model, its variants included."""
        model = linted_model(view, self._context)
        self._found.update(_check(model, self._context))
        for variant in view.variants:
            other = linted_model(view, self._context, variant=variant)
            self._found.update(_check(other, self._context))
        self._models.put(model)

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
        for rule in RULES:
            yield from rule(model, context)


def _key(item: Finding) -> tuple[str, str, int, int, str, str, str]:
    place = item.location
    severity = _ORDER.index(item.severity)
    return item.model, place.path, place.line, severity, item.code, place.field, item.message
