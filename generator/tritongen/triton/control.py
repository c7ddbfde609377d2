"""What the probe asks a server besides inference: metadata, readiness, statistics, loading."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.statistics import ModelStatistics, ServedConfig

# What helps where the list of models is restricted.
NAME_MODELS = "Name the models with -m, or probe from the folder of the project that serves them."


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself."""

    name: str
    version: str
    extensions: tuple[str, ...]


class Control(Protocol):
    """A server's side channel. Every method may raise `EnvironmentProblem` TG901 or TG902."""

    def server(self) -> ServerInfo:
        """Name, version and extensions."""

    def ready_models(self) -> list[str]:
        """Names of the models that are ready, sorted."""

    def reason(self, model: str) -> str:
        """What the repository index says of a model that is not ready; empty when nothing."""

    def is_ready(self, model: str, version: str = "") -> bool:
        """Whether the model can be asked."""

    def metadata(self, model: str, version: str = "") -> ModelMeta:
        """Inputs and outputs.

        Raises:
            EnvironmentProblem: TG903, there is no such model.
        """

    def config(self, model: str, version: str = "") -> Mapping[str, Any]:
        """The configuration in force, as JSON."""

    def statistics(self, model: str, version: str = "") -> ModelStatistics:
        """Sums since the model was loaded, over the versions asked for."""

    def load(self, model: str, config: Mapping[str, Any] | None = None) -> None:
        """Load or reload a model, with another configuration where one is given.

        Raises:
            EnvironmentProblem: TG913, the server allows no loading, or refuses this.
        """

    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        """Let the server use a system shared memory region.

        Raises:
            EnvironmentProblem: TG909, it does not.
        """

    def unregister_shared_memory(self, name: str) -> None:
        """Let the server forget a region; unknown regions are nothing."""

    def close(self) -> None:
        """Close the connection."""


def served_config(model: str, config: Mapping[str, Any]) -> ServedConfig:
    """What matters of a configuration in JSON; numbers may come as text."""
    groups = config.get("instance_group") or []
    counts = [int(group.get("count", 1) or 1) * _places(group) for group in groups]
    steps = (config.get("ensemble_scheduling") or {}).get("step") or []
    policy = config.get("model_transaction_policy") or {}
    return ServedConfig(
        model=model,
        max_batch_size=int(config.get("max_batch_size", 0) or 0),
        dynamic_batching="dynamic_batching" in config,
        instances=sum(counts) if counts and not steps else None,
        decoupled=bool(policy.get("decoupled", False)),
        sequence="sequence_batching" in config,
        steps=tuple(dict.fromkeys(str(step.get("model_name", "")) for step in steps)),
    )


def _places(group: Mapping[str, Any]) -> int:
    """An instance group on several GPUs has its count on each of them."""
    return max(len(group.get("gpus") or []), 1)


def model_meta(data: Mapping[str, Any]) -> ModelMeta:
    """Metadata from its JSON form; shapes may come as text.

    Raises:
        KeyError, TypeError, ValueError: it has another form.
    """
    return ModelMeta(
        str(data["name"]),
        tuple(str(version) for version in data.get("versions") or ()),
        str(data.get("platform", "")),
        tuple(_tensor(item) for item in data.get("inputs") or ()),
        tuple(_tensor(item) for item in data.get("outputs") or ()),
    )


def _tensor(item: Mapping[str, Any]) -> TensorMeta:
    return TensorMeta(
        str(item["name"]), str(item["datatype"]), tuple(int(d) for d in item.get("shape") or ())
    )


def model_statistics(data: Mapping[str, Any]) -> ModelStatistics:
    """Statistics from their JSON form, summed over versions; numbers may come as text.

    Raises:
        KeyError, TypeError, ValueError: they have another form.
    """
    total = ModelStatistics()
    for item in data.get("model_stats") or ():
        total = sum_statistics(total, _one_version(item))
    return total


def _one_version(item: Mapping[str, Any]) -> ModelStatistics:
    stats = item.get("inference_stats") or {}

    def part(name: str, field: str) -> int:
        return int((stats.get(name) or {}).get(field, 0) or 0)

    batches = item.get("batch_stats") or ()
    executed = sum(
        int((batch.get(name) or {}).get("ns", 0) or 0)
        for batch in batches
        for name in ("compute_input", "compute_infer", "compute_output")
    )
    return ModelStatistics(
        requests=part("success", "count"),
        failures=part("fail", "count"),
        inferences=int(item.get("inference_count", 0) or 0),
        executions=int(item.get("execution_count", 0) or 0),
        request_ns=part("success", "ns"),
        queue_ns=part("queue", "ns"),
        compute_input_ns=part("compute_input", "ns"),
        compute_infer_ns=part("compute_infer", "ns"),
        compute_output_ns=part("compute_output", "ns"),
        cache_hits=part("cache_hit", "count"),
        cache_misses=part("cache_miss", "count"),
        executed_ns=executed,
        batches=tuple(
            (int(b.get("batch_size", 0) or 0), int((b.get("compute_infer") or {}).get("count", 0)))
            for b in batches
        ),
    )


def sum_statistics(left: ModelStatistics, right: ModelStatistics) -> ModelStatistics:
    """What two versions or two servers have done together."""
    batches = dict(left.batches)
    for size, count in right.batches:
        batches[size] = batches.get(size, 0) + count
    return ModelStatistics(
        left.requests + right.requests,
        left.failures + right.failures,
        left.inferences + right.inferences,
        left.executions + right.executions,
        left.request_ns + right.request_ns,
        left.queue_ns + right.queue_ns,
        left.compute_input_ns + right.compute_input_ns,
        left.compute_infer_ns + right.compute_infer_ns,
        left.compute_output_ns + right.compute_output_ns,
        left.cache_hits + right.cache_hits,
        left.cache_misses + right.cache_misses,
        left.executed_ns + right.executed_ns,
        tuple(sorted(batches.items())),
    )
