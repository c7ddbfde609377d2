"""`tritongen inspect`."""

import argparse
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.cli.handed_over_code import add_untrusted, telling
from tritongen.cli.options import (
    Subparsers,
    add_command,
    add_format,
    add_models,
    existing_folder,
)
from tritongen.cli.output import (
    bold,
    dim,
    emit_json,
    finding_json,
    good,
    print_finding,
    say,
    severe,
    suggest,
)
from tritongen.errors import ExitCode
from tritongen.model.findings import Severity

if TYPE_CHECKING:
    from tritongen.model.tensors import TensorSpec
    from tritongen.repository.inspect import InspectedModel

_EXAMPLES = """\
  tritongen inspect ./models                 what is there, and can Triton serve it?
  tritongen inspect ./models --trial         also run every model and prove its batch axis
  tritongen inspect ./models --format json
"""


def register(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "inspect", "facts and findings for every model", _EXAMPLES)
    add_models(parser)
    parser.add_argument("--trial", action="store_true", help="run every model in a child process")
    add_untrusted(parser)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("model_repository"), metavar="REPO",
        help="repository whose lock holds known evidence (default: %(default)s)",
    )  # fmt: skip
    add_format(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Inspect and print; exit 1 when a model cannot be served."""
    from tritongen.repository.inspect import inspect_models

    result = inspect_models(
        existing_folder(options.models),
        options.output,
        trial=options.trial,
        code=not options.untrusted,
        progress=lambda project: telling(project, lambda _name: None),
    )
    if options.format == "json":
        emit_json(
            {
                "models": [_json(item) for item in result.models],
                "findings": [finding_json(item) for item in result.findings],
            }
        )
    else:
        for model in result.models:
            _print(model)
        for item in result.findings:
            print_finding(item)
        fixable = [item.facts.name for item in result.models if item.fixes]
        for name in fixable[:3]:
            suggest(f"tritongen optimize {quote(str(options.models))} -m {quote(name)} --fix")
        suggest(f"tritongen build {quote(str(options.models))}{' --fix' if fixable else ''}")
    unservable = any(not item.facts.servable for item in result.models)
    return int(ExitCode.FINDINGS if unservable else ExitCode.OK)


def _json(item: "InspectedModel") -> dict[str, object]:
    facts = item.facts
    document: dict[str, object] = {
        "name": facts.name,
        "path": facts.path,
        "format": facts.format.value,
        "servable": facts.servable,
        "batchable": item.batchable,
        "batch_reason": item.batch_reason,
        "versions": [version.number for version in facts.versions],
        "inputs": [_tensor_json(spec) for spec in facts.inputs],
        "outputs": [_tensor_json(spec) for spec in facts.outputs],
        "parameters": facts.parameters,
        "weight_bytes": facts.weight_bytes,
        "precisions": dict(facts.precisions),
        "callees": list(facts.python.callees) if facts.python is not None else [],
        "graph": None,
        "onnx": None,
        "findings": [finding_json(entry) for entry in item.findings],
        "cures": [{"code": fix.code, "fix": fix.fix, "summary": fix.summary} for fix in item.fixes],
    }
    if facts.graph is not None:
        document["graph"] = {
            "operators": facts.graph.operators,
            "critical_path": facts.graph.critical_path,
            "width": facts.graph.width,
        }
    if facts.onnx is not None:
        document["onnx"] = {
            "ir_version": facts.onnx.ir_version,
            "opsets": dict(facts.onnx.opsets),
            "producer": facts.onnx.producer,
            "custom_domains": list(facts.onnx.custom_domains),
            "external_files": list(facts.onnx.external_files),
            "quantized_operators": dict(facts.onnx.quantized_operators),
            "dynamic_quantization": facts.onnx.dynamic_quantization,
        }
    return document


def _tensor_json(spec: "TensorSpec") -> dict[str, object]:
    from tritongen.model.tensors import json_shape

    return {
        "name": spec.name,
        "dtype": spec.dtype.value if spec.dtype is not None else None,
        "shape": json_shape(spec.shape),
        "kind": spec.kind.value,
        "declared_type": spec.declared_type,
        "optional": spec.optional,
    }


def _print(item: "InspectedModel") -> None:
    facts = item.facts
    state = good("servable") if facts.servable else severe("not servable", Severity.ERROR)
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
    for entry in item.findings:
        print_finding(entry)
    for fix in item.fixes:
        say(f"  {good('fix')} {fix.code}: {fix.fix}, {fix.summary}")
    say()


def _tensor_text(spec: "TensorSpec") -> str:
    from tritongen.model.tensors import show_shape

    kind = spec.dtype.value if spec.dtype is not None else spec.declared_type
    return f"{spec.name}: {kind} {show_shape(spec.shape)}"
