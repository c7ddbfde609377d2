"""What the files of engines and pipelines say: vLLM, TensorRT-LLM, TensorRT and DALI."""

from dataclasses import dataclass

# vLLM's own, of a GPU's memory.
VLLM_MEMORY_SHARE = 0.9
# TensorRT-LLM's own, of what is left of a GPU's memory beside the weights.
TRTLLM_CACHE_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class LanguageModelSize:
    """How large a language model is, on all its GPUs together; 0 where that is not known.

    Attributes:
        weight_bytes: of its weights.
        token_bytes: of one token in its KV cache.
        max_length: tokens of a request and its answer together at most.
        source: what says so, in words.
        certain: whether files or the user say it, and not its name.
    """

    weight_bytes: int = 0
    token_bytes: int = 0
    max_length: int = 0
    source: str = ""
    certain: bool = True


@dataclass(frozen=True, slots=True)
class VllmFacts:
    """What a vLLM model's engine arguments say.

    Attributes:
        model: name on the hub, or a folder of the server.
        tensor_parallel: GPUs that each layer is split over.
        pipeline_parallel: groups of GPUs that the layers are dealt out to.
        memory_share: of each GPU's memory, which an engine takes when it starts.
        max_length: tokens of a request and its answer together, 0 for the model's own.
        lora: whether adapters are loaded.
        statistics: whether the engine keeps statistics of its own.
        size: of the model, None where nothing tells it.
        written: text of the `model.json` that `build` writes, empty where the user's is served.
    """

    model: str
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    memory_share: float = VLLM_MEMORY_SHARE
    max_length: int = 0
    lora: bool = False
    statistics: bool = True
    size: LanguageModelSize | None = None
    written: str = ""

    @property
    def gpus(self) -> int:
        """That one engine takes."""
        return self.tensor_parallel * self.pipeline_parallel


@dataclass(frozen=True, slots=True)
class TrtllmFacts:
    """What the configuration of a TensorRT-LLM engine says, or the `model.yaml` beside it.

    Attributes:
        model: folder of the engine or the weights, or a name on the hub.
        split: GPUs that one engine is split over.
        devices: GPUs of each instance; empty where the engine takes the first ones.
        instances: each loads an engine.
        cache_share: that its KV cache takes of the memory beside the weights.
        max_length: tokens of a request and its answer together, 0 for the engine's own.
        size: of the model, None where nothing tells it.
    """

    model: str = ""
    split: int = 1
    devices: tuple[tuple[int, ...], ...] = ()
    instances: int = 1
    cache_share: float = TRTLLM_CACHE_SHARE
    max_length: int = 0
    size: LanguageModelSize | None = None

    @property
    def gpus(self) -> int:
        """That one engine takes."""
        return max((len(own) for own in self.devices), default=self.split)


@dataclass(frozen=True, slots=True)
class DaliFacts:
    """What a DALI pipeline written in Python says of itself in literals.

    Attributes:
        batch_size: rows of its greatest batch, 0 where no literal says it.
        inputs: names of its external sources.
        incomplete: those of them whose type or number of axes only a configuration can say.
    """

    batch_size: int = 0
    inputs: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProfileRange:
    """Shapes of one input that a TensorRT plan's first optimisation profile takes."""

    input: str
    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What the text beside a TensorRT plan says of it.

    Attributes:
        profile: of the first optimisation profile, which Triton takes; empty for fixed shapes.
        profiles: how many there are.
    """

    profile: tuple[ProfileRange, ...] = ()
    profiles: int = 1

    @property
    def max_rows(self) -> int:
        """The most rows of an execution, 0 where no first axis is dynamic."""
        moving = [item.maximum[0] for item in self.profile if item.minimum[:1] != item.maximum[:1]]
        return min(moving, default=0)


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """A configuration that is handed over with its model, as those of a TensorRT-LLM set are.

    Attributes:
        text: of the configuration, with the values that are stated.
        backend: that it names, empty for an ensemble.
        stated: (line, names of the values in it), counted from 1.
        engine: that it loads, None where it loads none.
    """

    text: str
    backend: str = ""
    stated: tuple[tuple[int, str], ...] = ()
    engine: TrtllmFacts | None = None
