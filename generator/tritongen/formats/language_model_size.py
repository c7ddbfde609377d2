"""How large a language model is: by the folder of its weights or engine, else by its name.

Of such a folder, which may lie anywhere on this machine, nothing is read but `config.json` and how
large the files of weights are.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritongen.model.engine_facts import LanguageModelSize
from tritongen.system.paths import read_head

_CONFIG = "config.json"
# Chosen: they have some kilobytes.
_MAX_CONFIG_BYTES = 1 << 20
# In this order: a folder may hold the same weights in several forms.
_WEIGHTS = ("model*.safetensors", "*.safetensors", "rank*.engine", "pytorch_model*.bin")
# A name that says how many parameters there are: opt-125m, Llama-3.1-8B. Of 30B-A3B the second is
# of those in use; of 8x7B and 17B-16E the number is no model's.
_PARAMETERS = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z0-9])")
_EXPERTS = re.compile(r"\d+x\d|\d+E\b")
_MILLION = 10**6
# Bytes of a weight by what a name or an argument calls it; half precision is what engines load.
_HALF_BYTES = 2.0
_WEIGHT_BYTES = (
    (re.compile(r"awq|gptq|int4|w4a|4bit|nf4|fp4|bitsandbytes|bnb", re.IGNORECASE), 0.55),
    (re.compile(r"fp8|int8|w8a|8bit", re.IGNORECASE), 1.0),
    (re.compile(r"float32|fp32", re.IGNORECASE), 4.0),
)
# The key of a model's own greatest length.
_LENGTH = "max_position_embeddings"
_CACHE_BYTES = {"float32": 4, "fp8": 1, "int8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
# Layers of these do not keep every token, or keep something else of it.
_OTHER_CACHES = ("layer_types", "layers_block_type", "ssm_cfg", "mamba_d_state", "attn_type_list")


def size_of(
    model: str, dtype: str = "", quantization: str = "", cache: str = ""
) -> LanguageModelSize | None:
    """What is known of a model's size, None for nothing.

    Args:
        model: a folder's whole path, or a name on the hub.
        dtype: of its weights as the engine loads them, empty for the model's own.
        quantization: as the engine is told, empty for the model's own.
        cache: element type of the KV cache, empty for the weights' own.
    """
    if model.startswith("/"):
        try:
            found = _of_folder(Path(model), cache)
            # Weights may be quantised while they are loaded: how large they get is a guess then.
            return replace(found, certain=not quantization) if found is not None else None
        except (OSError, ValueError):
            return None
    return _of_name(model, f"{model} {dtype} {quantization}")


def _of_name(model: str, words: str) -> LanguageModelSize | None:
    last = model.rpartition("/")[2]
    found = _PARAMETERS.search(last)
    if found is None or _EXPERTS.search(last):
        return None
    each = next((size for form, size in _WEIGHT_BYTES if form.search(words)), _HALF_BYTES)
    parameters = float(found[1]) * _MILLION * (1000 if found[2] in "bB" else 1)
    source = f"its name, {found[0]} parameters of {each:g} bytes"
    return LanguageModelSize(int(parameters * each), source=source, certain=False)


def _of_folder(folder: Path, cache: str) -> LanguageModelSize | None:
    """By the files of a folder; None where it is not on this machine.

    Raises:
        OSError: it cannot be read.
        ValueError: its configuration is none.
    """
    if not folder.is_dir():
        return None
    weights = next((total for form in _WEIGHTS if (total := sum(_sizes(folder, form)))), 0)
    said: dict[str, Any] = {}
    if (folder / _CONFIG).is_file():
        said = _object(json.loads(read_head(folder / _CONFIG, _MAX_CONFIG_BYTES)))
    # An engine's, and that of a model that sees images, have the language model's inside.
    graph = _object(said.get("pretrained_config") or said.get("text_config") or said)
    lengths = (_object(said.get("build_config")), "max_seq_len"), (graph, _LENGTH)
    length = next((found for holder, key in lengths if (found := _whole(holder, key))), 0)
    if not (weights or length):
        return None
    return LanguageModelSize(weights, _token_bytes(graph, cache), length, f"the files in {folder}")


def _sizes(folder: Path, form: str) -> Iterator[int]:
    return (path.stat().st_size for path in folder.glob(form) if path.is_file())


def _token_bytes(graph: Mapping[str, Any], cache: str) -> int:
    """Of one token in the KV cache; 0 where its form is not known."""
    if any(graph.get(key) for key in _OTHER_CACHES) or _slides(graph):
        return 0
    layers = _whole(graph, "num_hidden_layers")
    heads = _whole(graph, "num_attention_heads")
    latent = _whole(graph, "kv_lora_rank")
    if latent:
        values = latent + _whole(graph, "qk_rope_head_dim")
    else:
        wide = _whole(graph, "hidden_size") // heads if heads else 0
        head = _whole(graph, "head_dim") or _whole(graph, "head_size") or wide
        values = 2 * (_whole(graph, "num_key_value_heads") or heads) * head
    kind = cache if cache not in {"", "auto"} else str(graph.get("torch_dtype", graph.get("dtype")))
    return layers * values * _CACHE_BYTES.get(kind, 2)


def _slides(graph: Mapping[str, Any]) -> bool:
    """Whether layers see the last tokens only."""
    return bool(graph.get("sliding_window")) and graph.get("use_sliding_window", True) is not False


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(holder: Mapping[str, Any], key: str) -> int:
    """A number of at least 1, else 0."""
    value = holder.get(key)
    return value if type(value) is int and 0 < value < 1 << 40 else 0
