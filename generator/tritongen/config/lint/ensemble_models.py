"""Ensembles against the models of their steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tritongen.config.lint.linted_model import LintedModel, dtype_name, show_dims
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import ConfigMessage, map_path
from tritongen.model.findings import Finding

Models = Mapping[str, LintedModel]

_STEPS = "ensemble_scheduling.step"


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
        served = {version.number for version in models[name].served}
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

    def _own(self, tensor: ConfigMessage) -> _Tensor:
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
