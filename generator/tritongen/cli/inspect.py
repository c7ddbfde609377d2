"""`tritongen inspect`."""

import argparse
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.api.documents import findings_json
from tritongen.cli import output
from tritongen.cli.output import bold, dim, good, say, severe
from tritongen.cli.parser import CommandParser, models_folder
from tritongen.errors import ExitCode
from tritongen.model.codec import shallow, view
from tritongen.model.findings import Severity

if TYPE_CHECKING:
    from tritongen.model.facts import OnnxFacts
    from tritongen.model.tensors import TensorSpec
    from tritongen.repository.inspect import InspectedModel, InspectionResult

EXAMPLES = """\
  tritongen inspect ./models                 what is there, and can Triton serve it?
  tritongen inspect ./models --trial         also run every model and prove its batch and other axes
  tritongen inspect ./models --format json
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_known_models()
    parser.add_flags(trial="run every model in a child process")
    parser.add_untrusted()
    parser.add_repository_option(
        "-r", "--repository", "-o", "--output", purpose="whose lock holds known evidence"
    )
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Inspect and print; exit 1 when a model cannot be served."""
    from tritongen.repository.inspect import inspect_models

    with output.ProgressBar() as bar:
        result = inspect_models(
            models_folder(options),
            options.repository,
            trial=options.trial,
            code=not options.untrusted,
            progress=lambda project: output.telling(project, lambda _name: None),
            download=bar,
        )
    output.present(
        options.format,
        lambda: {
            "models": [_json(item) for item in result.models],
            "findings": findings_json(result.findings),
        },
        lambda: _print_all(result, quote(str(options.models))),
    )
    return int(ExitCode.FINDINGS if _unservable(result) else ExitCode.OK)


def _unservable(result: "InspectionResult") -> dict[str, list[str]]:
    """The codes of every model that cannot be served and is wanted, by its name."""
    return {
        item.facts.name: sorted(
            {one.code for one in item.findings if one.severity is Severity.ERROR}
        )
        for item in result.models
        if item.wanted and not item.facts.servable
    }


def _json(item: "InspectedModel") -> dict[str, object]:
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


def _onnx_json(facts: "OnnxFacts") -> dict[str, object]:
    pairs = {"opsets": facts.opsets, "quantized_operators": facts.quantized_operators}
    return {**shallow(facts, whole=True), **{key: dict(found) for key, found in pairs.items()}}


def _tensor_json(spec: "TensorSpec") -> dict[str, object]:
    from tritongen.model.tensors import json_shape

    return {**shallow(spec, whole=True), "shape": json_shape(spec.shape)}


def _print_all(result: "InspectionResult", models: str) -> None:
    for model in result.models:
        _print(model)
    output.print_findings(result.findings)
    output.print_left_out(_unservable(result))
    fixable = [item.facts.name for item in result.models if item.fixes]
    for name in fixable[:3]:
        output.suggest(f"tritongen optimize {models} -m {quote(name)} --fix")
    output.suggest(f"tritongen build {models}{' --fix' if fixable else ''}")


def _print(item: "InspectedModel") -> None:
    facts = item.facts
    state = good("servable") if facts.servable else severe("not servable", Severity.ERROR)
    state = state if item.wanted else dim("left out on purpose")
    say(f"{bold(facts.name)}  {facts.format.value}  {state}  {dim(facts.path)}")
    for label, specs in (("in", facts.inputs), ("out", facts.outputs)):
        for spec in specs:
            say(f"  {label:<4}{_tensor_text(spec)}")
    if facts.graph is not None:
        graph = facts.graph
        shape = "chain" if graph.parallelism < 1.25 else f"up to {graph.width} side by side"
        size = f"{facts.parameters:,} parameters, {facts.weight_bytes / 2**20:.1f} MiB"
        say(f"  {size}; {graph.operators} operators, longest path {graph.critical_path} ({shape})")
    if facts.onnx is not None:
        opsets = ", ".join(f"{domain} {version}" for domain, version in facts.onnx.opsets)
        say(f"  IR {facts.onnx.ir_version}, opset {opsets}")
    if facts.python is not None and facts.python.callees:
        say(f"  calls: {', '.join(facts.python.callees)}")
    say(f"  batch: {'yes' if item.batchable else 'no'} — {item.batch_reason}")
    for axis in (axis for axis in item.axes if axis.reason):
        say(f"  {axis.input}, {axis.sentence}")
    output.print_findings(item.findings)
    for fix in item.fixes:
        say(f"  {good('fix')} {fix.code}: {fix.fix}, {fix.summary}")
    say()


def _tensor_text(spec: "TensorSpec") -> str:
    from tritongen.model.tensors import show_shape

    kind = spec.dtype.value if spec.dtype is not None else spec.declared_type
    return f"{spec.name}: {kind} {show_shape(spec.shape)}"
