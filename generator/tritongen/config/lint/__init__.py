"""The rules of `check`: from a repository that somebody read to findings. No file is touched."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from tritongen.config.lint import (
    backend_onnxruntime,
    backends,
    cuda_options,
    dali,
    ensembles,
    files_layout,
    given_data,
    inputs_outputs,
    instances,
    known_fields,
    language_models,
    scheduling,
    shared_resources,
    templates,
)
from tritongen.config.lint.ignore_comments import ignore_comments
from tritongen.config.lint.lint_report import as_document, as_github, as_sarif
from tritongen.config.lint.linted_model import LintedModel, Models, linted_model
from tritongen.config.lint.repository_view import (
    LintContext,
    ModelView,
)
from tritongen.model.code_choice import Ignore
from tritongen.model.findings import Finding, Severity

__all__ = [
    "REPOSITORY_RULES",
    "LintContext",
    "Linter",
    "ModelView",
    "as_document",
    "as_github",
    "as_sarif",
    "lint",
]

Rule = Callable[[LintedModel, LintContext], Iterable[Finding]]
RepositoryRule = Callable[[Models, LintContext], Iterable[Finding]]

# Rules of the folder and the text, which need no readable configuration.
FOLDER_RULES: tuple[Rule, ...] = (
    known_fields.text_faults,
    templates.unfilled,
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
    inputs_outputs.each_tensor,
    inputs_outputs.unlisted,
    inputs_outputs.names,
    inputs_outputs.labels,
    inputs_outputs.batch_io,
    scheduling.batch_size,
    scheduling.preferred_sizes,
    scheduling.priorities,
    scheduling.ordering,
    scheduling.pointless_batcher,
    scheduling.long_delay,
    scheduling.limited_queue,
    scheduling.response_cache,
    scheduling.controls,
    scheduling.strategies,
    instances.kinds_and_gpus,
    instances.promised_gpus,
    instances.backend_kinds,
    instances.profiles,
    instances.counts,
    instances.kinds_written,
    instances.group_names,
    instances.passive_only,
    instances.limiter_settings,
    given_data.samples,
    given_data.initial_states,
    ensembles.settings,
    ensembles.data_flow,
    backends.backend_parameters,
    backends.batch_support,
    backends.kept_states,
    backends.tensor_names,
    backends.refused_types,
    backends.optional_inputs,
    cuda_options.read_by_tensorrt,
    cuda_options.graph_sizes,
    shared_resources.limits,
    inputs_outputs.leading_dynamic,
    inputs_outputs.unused_batching,
    known_fields.backend_written,
)

# Rules of models that one backend serves.
BACKEND_RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "fil": (backends.classifier_threshold,),
        "onnxruntime": (
            backend_onnxruntime.graph_level,
            backend_onnxruntime.accelerators,
            backend_onnxruntime.arena_shrinkage,
            backend_onnxruntime.inspected_faults,
            backend_onnxruntime.compared,
            backend_onnxruntime.without_completion,
        ),
        "python": (
            backends.execution_environment,
            backends.element_types,
            backends.ignored_operations,
            backends.decoupled_policy,
            language_models.llm_api,
        ),
        "pytorch": (backends.python_runtime_filename,),
        "dali": (dali.pipeline_file, dali.inspected_faults, dali.without_completion),
        "vllm": (
            language_models.engine_arguments,
            language_models.vllm_settings,
            language_models.vllm_gpus,
        ),
        "tensorrtllm": (language_models.trtllm_settings,),
    }
)

REPOSITORY_RULES: tuple[RepositoryRule, ...] = (
    ensembles.ensembles,
    shared_resources.core_budget,
    shared_resources.process_wide,
    shared_resources.limiter_resources,
    shared_resources.waiting_callers,
    language_models.gpu_memory,
    language_models.trtllm_sets,
)

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.INFO)


def lint(models: Iterable[ModelView], context: LintContext) -> tuple[Finding, ...]:
    """Every finding of a repository, sorted by model, file, line, severity and code.

    The models, which may be generated, are read once, in any order. Never raises for what they
    hold; the same ones and the same context give the same findings.
    """
    linter = Linter(context)
    for model in models:
        linter.add(model)
    return linter.findings()


class Linter:
    """Lints a repository model by model, and keeps of each only what the others' rules need.

    Attributes:
        ignores: what comments in the configurations so far ignore; `findings` has it all the same.
    """

    def __init__(self, context: LintContext) -> None:
        self._context = context
        self._models: dict[str, LintedModel] = {}
        self._found: set[Finding] = set()
        self.ignores: list[Ignore] = []

    def add(self, view: ModelView) -> None:
        """Lint one model, its variants included."""
        model = linted_model(view, self._context)
        self._found.update(_check(model, self._context))
        for variant in view.variants:
            other = linted_model(view, self._context, variant=variant)
            self._found.update(_check(other, self._context))
        ignores, faults = ignore_comments(view)
        self.ignores += ignores
        self._found.update(faults)
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
