"""`inspect` for programs."""

from dataclasses import dataclass
from pathlib import Path

from tritongen.api.arguments import DEFAULT_REPOSITORY, StrPath, models_path
from tritongen.api.code_notice import Notice, log_notice, telling
from tritongen.api.documents import findings_json
from tritongen.api.result import ApiResult
from tritongen.errors import ExitCode
from tritongen.model.codec import shallow, view
from tritongen.model.facts import OnnxFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.progress import Progress, silent
from tritongen.model.tensors import TensorSpec, json_shape
from tritongen.repository.inspect import InspectedModel, inspect_models


@dataclass(frozen=True, slots=True)
class InspectedFolder(ApiResult):
    """Every model of a folder.

    Attributes:
        models: each with its facts and findings.
        findings: on the folder as a whole.
    """

    models: tuple[InspectedModel, ...]
    findings: tuple[Finding, ...]

    @property
    def unservable(self) -> dict[str, list[str]]:
        """The codes of every model that cannot be served and is wanted, by its name."""
        return {
            item.facts.name: sorted(
                {one.code for one in item.findings if one.severity is Severity.ERROR}
            )
            for item in self.models
            if item.wanted and not item.facts.servable
        }

    @property
    def exit_code(self) -> ExitCode:
        """Whether a wanted model cannot be served."""
        return ExitCode.FINDINGS if self.unservable else ExitCode.OK

    def _document(self) -> dict[str, object]:
        return {
            "models": [_json(item) for item in self.models],
            "findings": findings_json(self.findings),
        }


def inspect(
    models: StrPath | None = None,
    *,
    repository: StrPath = DEFAULT_REPOSITORY,
    trial: bool = False,
    untrusted: bool = False,
    progress: Progress = silent,
    notice: Notice = log_notice,
) -> InspectedFolder:
    """Facts and findings for every model.

    Args:
        models: folder of models, or one model file; what the repository was built from when None.
        repository: whose lock holds known evidence.
        trial: run every model in a child process.
        untrusted: run no code of the folder.
        progress: told of each model that is run, and of the download of a runtime.
        notice: told once that code of the folder runs; logged by default.

    Raises:
        InvalidInputError: the folder or its tritongen.yaml cannot be used.
    """
    place = Path(repository)
    found = inspect_models(
        models_path(models, place),
        place,
        trial=trial,
        code=not untrusted,
        progress=lambda project: telling(project, progress, notice),
        download=progress,
    )
    return InspectedFolder(found.models, found.findings)


def _json(item: InspectedModel) -> dict[str, object]:
    facts, graph = item.facts, item.facts.graph
    return {
        **view(facts, "name", "path", "format", "servable"),
        **view(item, "batchable", "batch_reason", "evidence"),
        "versions": [version.number for version in facts.versions],
        "inputs": [_tensor_json(spec) for spec in facts.inputs],
        "outputs": [_tensor_json(spec) for spec in facts.outputs],
        **view(facts, "parameters", "weight_bytes"),
        "precisions": dict(facts.precisions),
        "callees": facts.python.callees if facts.python is not None else [],
        "graph": view(graph, "operators", "critical_path", "width") if graph is not None else None,
        "onnx": _onnx_json(facts.onnx) if facts.onnx is not None else None,
        "axes": [
            view(axis, "input", "axis", "symbol", "verdict", "bound", "tried") for axis in item.axes
        ],
        "findings": findings_json(item.findings),
        "cures": item.fixes,
    }


def _onnx_json(facts: OnnxFacts) -> dict[str, object]:
    pairs = {"opsets": facts.opsets, "quantized_operators": facts.quantized_operators}
    return {**shallow(facts, whole=True), **{key: dict(found) for key, found in pairs.items()}}


def _tensor_json(spec: TensorSpec) -> dict[str, object]:
    return {**shallow(spec, whole=True), "shape": json_shape(spec.shape)}
