"""Ensembles: what their own configuration must hold."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tritongen.config.lint.backends import ENSEMBLE
from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import map_path
from tritongen.model.findings import Finding


@dataclass(slots=True)
class _EnsembleTensor:
    """An ensemble tensor: who writes it and what is written from it."""

    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    written: bool = False
    ready: bool = False
    field: str = ""


def platform_and_steps(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Platform "ensemble" and ensemble_scheduling come together."""
    has_steps = model.config.HasField("ensemble_scheduling")
    if has_steps and model.config.platform != ENSEMBLE:
        yield model.error(
            "TG441",
            "ensemble_scheduling",
            f'ensemble scheduling cannot be set for platform "{model.config.platform}"',
        )
    elif not has_steps and model.config.platform == ENSEMBLE:
        yield model.error(
            "TG441", "platform", 'ensemble_scheduling must be set for platform "ensemble"'
        )


def foreign_settings(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Instances, optimisation and warm-up belong to the models of the steps."""
    if not model.config.HasField("ensemble_scheduling"):
        return
    given = {
        "instance_group": bool(model.config.instance_group),
        "optimization": model.config.HasField("optimization"),
        "model_warmup": bool(model.config.model_warmup),
    }
    for name, present in given.items():
        if present:
            yield model.error("TG442", name, f"{name} should not be specified for an ensemble")


def steps(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """At least one step, each with a model, inputs and outputs."""
    if not model.config.HasField("ensemble_scheduling"):
        return
    if not model.config.ensemble_scheduling.step:
        yield model.error("TG443", "ensemble_scheduling", "an ensemble must specify steps")
    for index, (path, step) in enumerate(model.each("ensemble_scheduling.step")):
        for name in ("model_name", "input_map", "output_map"):
            if not getattr(step, name):
                yield model.error("TG443", path, f"step {index} must specify '{name}'")


def data_flow(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Every tensor is written once, and leads from an input to an output."""
    if not model.config.ensemble_scheduling.step:
        return
    nodes: dict[str, _EnsembleTensor] = {}
    yield from _link(model, nodes)
    inputs = [tensor.name for tensor in model.config.input]
    outputs = {tensor.name for tensor in model.config.output}
    for path, tensor in model.each("input"):
        if tensor.name not in nodes:
            message = f"ensemble input '{tensor.name}' is not used by any step"
            yield model.error("TG445", f"{path}.name", message)
    _propagate(nodes, inputs)
    for place, tensor in model.each("output"):
        path, node = f"{place}.name", nodes.get(tensor.name)
        if node is None:
            yield model.error(
                "TG445", path, f"ensemble output '{tensor.name}' is not written by any step"
            )
        elif not node.ready:
            cause = _first_cause(nodes, tensor.name)
            detail = f": '{cause}' is not connected" if cause != tensor.name else ""
            yield model.error(
                "TG445", path, f"ensemble output '{tensor.name}' is not written{detail}"
            )
    for name, node in sorted(nodes.items()):
        if name not in outputs and (not node.ready or not node.targets):
            lack = "used by no step and no output" if node.ready else "never written"
            yield model.error("TG445", node.field, f"ensemble tensor '{name}' is {lack}")


def _link(model: LintedModel, nodes: dict[str, _EnsembleTensor]) -> Iterator[Finding]:
    for path, step in model.each("ensemble_scheduling.step"):
        for key, name in sorted(step.output_map.items()):
            where = map_path(f"{path}.output_map", key)
            node = nodes.setdefault(name, _EnsembleTensor(field=where))
            if node.written:
                yield model.error(
                    "TG444", where, f"ensemble tensor '{name}' appears in an output_map twice"
                )
            node.written = True
        written = set(step.output_map.values())
        for key, name in sorted(step.input_map.items()):
            node = nodes.setdefault(name, _EnsembleTensor(field=map_path(f"{path}.input_map", key)))
            for target in written:
                nodes[target].sources.append(name)
                node.targets.append(target)


def _propagate(nodes: dict[str, _EnsembleTensor], inputs: list[str]) -> None:
    queue = [name for name in inputs if name in nodes]
    for name in queue:
        nodes[name].ready = True
    while queue:
        for target in nodes[queue.pop()].targets:
            node = nodes[target]
            if not node.ready and all(nodes[source].ready for source in node.sources):
                node.ready = True
                queue.append(target)


def _first_cause(nodes: dict[str, _EnsembleTensor], name: str) -> str:
    """The first tensor on the way back that nothing provides."""
    seen = {name}
    while True:
        unready = [
            source
            for source in nodes[name].sources
            if not nodes[source].ready and source not in seen
        ]
        if not unready:
            return name
        name = unready[0]
        seen.add(name)
