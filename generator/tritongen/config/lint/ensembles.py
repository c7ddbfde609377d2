"""Ensembles: their own configuration, and against the models of their steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tritongen.config.lint.linted_model import ENSEMBLE, LintedModel, Models, show_dims
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import Message, map_path
from tritongen.config.protobuf import dtype_name
from tritongen.model.findings import Finding

_STEPS = "ensemble_scheduling.step"


@dataclass(slots=True)
class _EnsembleTensor:
    """An ensemble tensor: who writes it and what is written from it."""

    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    written: bool = False
    ready: bool = False
    field: str = ""


def settings(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Platform "ensemble" and steps come together, and without settings of the steps' models."""
    config = model.config
    if not config.HasField("ensemble_scheduling"):
        if config.platform == ENSEMBLE:
            message = 'ensemble_scheduling must be set for platform "ensemble"'
            yield model.error("TG441", "platform", message)
        return
    if config.platform != ENSEMBLE:
        message = f'ensemble scheduling cannot be set for platform "{config.platform}"'
        yield model.error("TG441", "ensemble_scheduling", message)
    foreign = {"instance_group", "optimization", "model_warmup"}
    for described, _ in config.ListFields():
        if described.name in foreign:
            message = f"{described.name} should not be specified for an ensemble"
            yield model.error("TG442", described.name, message)
    if not config.ensemble_scheduling.step:
        yield model.error("TG443", "ensemble_scheduling", "an ensemble must specify steps")
    for index, (path, step) in enumerate(model.each(_STEPS)):
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
            message = f"ensemble output '{tensor.name}' is not written by any step"
            yield model.error("TG445", path, message)
        elif not node.ready:
            cause = _first_cause(nodes, tensor.name)
            detail = f": '{cause}' is not connected" if cause != tensor.name else ""
            message = f"ensemble output '{tensor.name}' is not written{detail}"
            yield model.error("TG445", path, message)
    for name, node in sorted(nodes.items()):
        if name not in outputs and (not node.ready or not node.targets):
            lack = "used by no step and no output" if node.ready else "never written"
            yield model.error("TG445", node.field, f"ensemble tensor '{name}' is {lack}")


def _link(model: LintedModel, nodes: dict[str, _EnsembleTensor]) -> Iterator[Finding]:
    for path, step in model.each(_STEPS):
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


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Type and shape that one model states for an ensemble tensor."""

    model: str
    dtype: int
    dims: tuple[int, ...]
    batching: bool

    @property
    def full(self) -> tuple[int, ...]:
        """The shape with the batch axis."""
        return (-1, *self.dims) if self.batching else self.dims


def ensembles(models: Models, _context: LintContext) -> Iterator[Finding]:
    """Every ensemble of the repository against the others."""
    for name in sorted(models):
        model = models[name]
        if model.parsed.ok and model.config.HasField("ensemble_scheduling"):
            yield from _availability(model, models)
            yield from _batch_sizes(model, models)
            yield from _Mapping(model, models).check()
            yield from _decoupled(model, models)
    yield from _cycles(models)


def _availability(model: LintedModel, models: Models) -> Iterator[Finding]:
    for path, step in model.each(_STEPS):
        name, version = step.model_name, step.model_version
        if not name:
            continue
        if step.model_namespace:
            yield model.warning(
                "TG614",
                f"{path}.model_namespace",
                "model_namespace is reserved for Triton's own use",
            )
        if name not in models:
            yield model.error(
                "TG450",
                f"{path}.model_name",
                f"model '{name}' of the step is not in the repository",
            )
            continue
        served = models[name].served
        if version == -1 or version in served or not served:
            continue
        written = f"{path}.model_version" in model.parsed.lines
        note = "" if written else " (model_version is not written, which means 0)"
        yield model.error(
            "TG450",
            f"{path}.model_version",
            f"'{name}' has no served version {version}{note}; it serves "
            f"{', '.join(str(number) for number in sorted(served))}",
            "Write model_version: -1 for the newest one.",
        )


def _batch_sizes(model: LintedModel, models: Models) -> Iterator[Finding]:
    most = model.config.max_batch_size
    limits: list[int] = []
    for path, step in model.each(_STEPS):
        other = models.get(step.model_name)
        if other is None or not other.parsed.ok or not _sized(other):
            continue
        limit = other.config.max_batch_size
        limits.append(limit)
        if limit != 0 and limit < most:
            yield model.error(
                "TG449",
                "max_batch_size",
                f"the ensemble allows batches of {most}, but {path}'s model "
                f"'{step.model_name}' only {limit}",
            )
    if most == 0 and limits and all(limits):
        yield model.info(
            "TG647",
            "max_batch_size",
            f"every step batches (up to {min(limits)}), the ensemble does not",
        )


def _sized(model: LintedModel) -> bool:
    """Whether the configuration states the batch size that will be served."""
    return model.is_ensemble or bool(model.config.input and model.config.output)


class _Mapping:
    """Names, types and shapes along the maps of one ensemble."""

    def __init__(self, model: LintedModel, models: Models) -> None:
        self._model = model
        self._models = models
        self._tensors: dict[str, _Tensor] = {}
        for tensor in (*model.config.input, *model.config.output):
            self._tensors.setdefault(tensor.name, self._own(tensor))

    def _own(self, tensor: Message) -> _Tensor:
        dims = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
        model = self._model
        return _Tensor(model.name, tensor.data_type, tuple(dims), model.batching)

    def check(self) -> Iterator[Finding]:
        """Findings of every step, in order."""
        for path, step in self._model.each(_STEPS):
            other = self._models.get(step.model_name)
            if other is None or not other.parsed.ok or other.name == self._model.name:
                continue
            if other.config.input:
                yield from self._side(path, "input", step.input_map, other)
            if other.config.output:
                yield from self._side(path, "output", step.output_map, other)

    def _side(
        self, path: str, side: str, mapping: Mapping[str, str], other: LintedModel
    ) -> Iterator[Finding]:
        known = {tensor.name: tensor for tensor in getattr(other.config, side)}
        for key in sorted(mapping):
            where, name = map_path(f"{path}.{side}_map", key), mapping[key]
            if key not in known:
                yield self._model.error(
                    "TG446",
                    where,
                    f"'{key}' is no {side} of model '{other.name}' (it has "
                    f"{', '.join(sorted(known))})",
                )
                continue
            tensor = known[key]
            theirs = _Tensor(other.name, tensor.data_type, tuple(tensor.dims), other.batching)
            mine = self._tensors.setdefault(name, theirs)
            yield from self._compare(where, name, mine, theirs)
        if side == "input":
            for key, tensor in sorted(known.items()):
                if key not in mapping and not tensor.optional:
                    yield self._model.error(
                        "TG446",
                        f"{path}.input_map",
                        f"required input '{key}' of model '{other.name}' is not mapped",
                        "Map every required input.",
                    )

    def _compare(self, where: str, name: str, left: _Tensor, right: _Tensor) -> Iterator[Finding]:
        if left.dtype != right.dtype:
            yield self._model.error(
                "TG447",
                where,
                f"ensemble tensor '{name}': inconsistent data type: {dtype_name(left.dtype)} from "
                f"model '{left.model}', {dtype_name(right.dtype)} from model '{right.model}'",
            )
        if not _fits(left.dims, right.dims) and not _fits(left.full, right.full):
            yield self._model.error(
                "TG448",
                where,
                f"ensemble tensor '{name}': inconsistent shape: {show_dims(left.full)} from model "
                f"'{left.model}', {show_dims(right.full)} from model '{right.model}'",
            )


def _fits(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    return len(left) == len(right) and all(
        a == b or -1 in {a, b} for a, b in zip(left, right, strict=True)
    )


def _decoupled(model: LintedModel, models: Models) -> Iterator[Finding]:
    """All inputs of a step come from one stream of responses."""
    origin: dict[str, int] = {tensor.name: -1 for tensor in model.config.input}
    pending = list(model.each(_STEPS))
    while pending:
        ready = [
            (path, step)
            for path, step in pending
            if all(name in origin for name in step.input_map.values())
        ]
        if not ready:
            return
        for path, step in ready:
            pending.remove((path, step))
            sources = {origin[name] for name in step.input_map.values()}
            if len(sources) > 1:
                yield model.error(
                    "TG451",
                    f"{path}.input_map",
                    f"the step of model '{step.model_name}' receives inputs that come from "
                    "different decoupled models",
                )
            other = models.get(step.model_name)
            splits = other is not None and other.config.model_transaction_policy.decoupled
            label = len(model.config.ensemble_scheduling.step) - len(pending)
            mark = label if splits else max(sources, default=-1)
            origin.update(dict.fromkeys(step.output_map.values(), mark))


def _cycles(models: Models) -> Iterator[Finding]:
    """Ensembles that need one another, directly or through others."""
    edges = {
        name: sorted({step.model_name for _, step in model.each(_STEPS)} & set(models))
        for name, model in models.items()
        if model.parsed.ok
    }
    for name in sorted(edges):
        if name in _reachable(edges, name):
            yield models[name].error(
                "TG450",
                "ensemble_scheduling",
                f"ensemble '{name}' depends on itself through its steps",
                "Break the circle.",
            )


def _reachable(edges: Mapping[str, list[str]], start: str) -> set[str]:
    seen: set[str] = set()
    queue = list(edges.get(start, ()))
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue.extend(edges.get(name, ()))
    return seen
