"""`tritongen inspect`."""

import argparse
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.cli import output
from tritongen.cli.output import bold, dim, good, say, severe
from tritongen.cli.parser import CommandParser, models_folder
from tritongen.model.counting import counted
from tritongen.model.findings import Severity

if TYPE_CHECKING:
    from tritongen.api import InspectedFolder
    from tritongen.model.tensors import TensorSpec
    from tritongen.repository.inspect import InspectedModel

EXAMPLES = """\
  tritongen inspect ./models                 what is there, and can Triton serve it?
  tritongen inspect ./models --trial         also run every model and prove its batch and other axes
  tritongen inspect ./models --format json
"""

# Models that the next command names; of more it takes all. Chosen.
_MAX_NAMED = 3


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
    from tritongen import api

    with output.ProgressBar() as bar:
        found = api.inspect(
            models_folder(options),
            repository=options.repository,
            trial=options.trial,
            untrusted=options.untrusted,
            progress=bar.told,
            notice=output.say_error,
        )
    output.present(
        options.format, found.to_dict, lambda: _print_all(found, quote(str(options.models)))
    )
    return int(found.exit_code)


def _print_all(result: "InspectedFolder", models: str) -> None:
    for number, model in enumerate(result.models):
        if number:
            say()
        _print(model)
    if result.findings or result.unservable:
        say()
    output.print_findings(result.findings)
    output.print_left_out(result.unservable)
    fixable = [item.facts.name for item in result.models if item.fixes]
    few = fixable if len(fixable) <= _MAX_NAMED else []
    names = "".join(f" -m {quote(name)}" for name in few)
    fix = [f"tritongen optimize {models}{names} --fix"] if fixable else []
    output.suggest(*fix, f"tritongen build {models}{' --fix' if fixable else ''}")


def _print(item: "InspectedModel") -> None:
    facts = item.facts
    state = good("servable") if facts.servable else severe("not servable", Severity.ERROR)
    state = state if item.wanted else dim("left out on purpose")
    path = f"  {dim(facts.path)}" if facts.path != facts.name else ""
    say(f"{bold(facts.name)}  {facts.format.value}  {state}{path}")
    for label, specs in (("in", facts.inputs), ("out", facts.outputs)):
        for spec in specs:
            say(f"  {label:<4}{_tensor_text(spec)}")
    if facts.graph is not None:
        graph = facts.graph
        shape = "chain" if graph.parallelism < 1.25 else f"up to {graph.width} side by side"
        size = f"{counted(facts.parameters, 'parameter')}, {facts.weight_bytes / 2**20:.1f} MiB"
        path = f"{counted(graph.operators, 'operator')}, longest path {graph.critical_path}"
        say(f"  {size}; {path} ({shape})")
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


def _tensor_text(spec: "TensorSpec") -> str:
    from tritongen.model.tensors import show_shape

    kind = spec.dtype.value if spec.dtype is not None else spec.declared_type
    return f"{spec.name}: {kind} {show_shape(spec.shape)}"
