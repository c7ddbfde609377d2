"""Repositories of vLLM, TensorRT-LLM and DALI, small ones, as their documentation lays them out."""

import re
from collections.abc import Mapping
from pathlib import Path

from support.lint import PYTHON_MODEL

VLLM_CONFIG = """backend: "vllm"
instance_group [ { count: 1 kind: KIND_MODEL } ]
"""
VLLM = {
    "opt/config.pbtxt": VLLM_CONFIG,
    "opt/1/model.json": """{
  "model": "facebook/opt-125m",
  "gpu_memory_utilization": 0.5,
  "enforce_eager": true,
  "disable_log_stats": true
}
""",
}

# One configuration of a TensorRT-LLM set with the placeholders that fill_template.py replaces.
_PART = """name: "{name}"
backend: "python"
max_batch_size: ${{triton_max_batch_size}}
input [
  {{
    name: "{source}"
    data_type: {kind}
    dims: [ -1 ]
  }}
]
output [
  {{
    name: "{target}"
    data_type: {made}
    dims: [ -1 ]
  }}
]
parameters {{
  key: "tokenizer_dir"
  value: {{
    string_value: "${{tokenizer_dir}}"
  }}
}}
parameters {{
  key: "add_special_tokens"
  value: {{
    string_value: "${{add_special_tokens}}"
  }}
}}
instance_group [
  {{
    count: ${{{name}_instance_count}}
    kind: KIND_CPU
  }}
]
"""
_ENGINE = """name: "tensorrt_llm"
backend: "${triton_backend}"
max_batch_size: ${triton_max_batch_size}

model_transaction_policy {
  decoupled: ${decoupled_mode}
}

dynamic_batching {
    preferred_batch_size: [ ${triton_max_batch_size} ]
    max_queue_delay_microseconds: ${max_queue_delay_microseconds}
    default_queue_policy: { max_queue_size: ${max_queue_size} }
}

input [
  {
    name: "input_ids"
    data_type: TYPE_INT32
    dims: [ -1 ]
    allow_ragged_batch: true
    optional: true
  },
  {
    name: "request_output_len"
    data_type: TYPE_INT32
    dims: [ 1 ]
    reshape: { shape: [ ] }
  },
  {
    name: "streaming"
    data_type: TYPE_BOOL
    dims: [ 1 ]
    reshape: { shape: [ ] }
    optional: true
  }
]
output [
  {
    name: "output_ids"
    data_type: TYPE_INT32
    dims: [ -1, -1 ]
  },
  {
    name: "generation_logits"
    data_type: ${logits_datatype}
    dims: [ -1, -1, -1 ]
  }
]
instance_group [
  {
    count: 1
    kind: KIND_CPU
  }
]
parameters: {
  key: "gpt_model_type"
  value: {
    string_value: "${batching_strategy}"
  }
}
parameters: {
  key: "gpt_model_path"
  value: {
    string_value: "${engine_dir}"
  }
}
parameters: {
  key: "gpu_device_ids"
  value: {
    string_value: "${gpu_device_ids}"
  }
}
parameters: {
  key: "kv_cache_free_gpu_mem_fraction"
  value: {
    string_value: "${kv_cache_free_gpu_mem_fraction}"
  }
}
parameters: {
  key: "executor_worker_path"
  value: {
    string_value: "/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker"
  }
}
"""
_CALLER = """name: "tensorrt_llm_bls"
backend: "python"
max_batch_size: ${triton_max_batch_size}
model_transaction_policy {
  decoupled: ${decoupled_mode}
}
input [
  {
    name: "text_input"
    data_type: TYPE_STRING
    dims: [ 1 ]
  },
  {
    name: "max_tokens"
    data_type: TYPE_INT32
    dims: [ 1 ]
  }
]
output [
  {
    name: "text_output"
    data_type: TYPE_STRING
    dims: [ -1 ]
  }
]
parameters: {
  key: "accumulate_tokens"
  value: {
    string_value: "${accumulate_tokens}"
  }
}
parameters: {
  key: "tensorrt_llm_model_name"
  value: {
    string_value: "${tensorrt_llm_model_name}"
  }
}
instance_group [
  {
    count: ${bls_instance_count}
    kind: KIND_CPU
  }
]
"""
_ENSEMBLE = """name: "ensemble"
platform: "ensemble"
max_batch_size: ${triton_max_batch_size}
input [
  { name: "text_input" data_type: TYPE_STRING dims: [ -1 ] },
  { name: "max_tokens" data_type: TYPE_INT32 dims: [ 1 ] }
]
output [
  { name: "text_output" data_type: TYPE_STRING dims: [ -1 ] }
]
ensemble_scheduling {
  step [
    {
      model_name: "preprocessing"
      model_version: -1
      input_map { key: "QUERY" value: "text_input" }
      output_map { key: "INPUT_ID" value: "_INPUT_ID" }
    },
    {
      model_name: "tensorrt_llm"
      model_version: -1
      input_map { key: "input_ids" value: "_INPUT_ID" },
      input_map { key: "request_output_len" value: "max_tokens" }
      output_map { key: "output_ids" value: "_TOKENS" }
    },
    {
      model_name: "postprocessing"
      model_version: -1
      input_map { key: "TOKENS_BATCH" value: "_TOKENS" }
      output_map { key: "OUTPUT" value: "text_output" }
    }
  ]
}
"""
_BEFORE = _PART.format(
    name="preprocessing", source="QUERY", kind="TYPE_STRING", target="INPUT_ID", made="TYPE_INT32"
)
_AFTER = _PART.format(
    name="postprocessing", source="TOKENS_BATCH", kind="TYPE_INT32", target="OUTPUT",
    made="TYPE_STRING",
).replace("TYPE_INT32\n    dims: [ -1 ]", "TYPE_INT32\n    dims: [ -1, -1 ]")  # fmt: skip
_CODE = PYTHON_MODEL.decode()
TRTLLM_TEMPLATES = {
    "preprocessing/config.pbtxt": _BEFORE,
    "preprocessing/1/model.py": _CODE,
    "postprocessing/config.pbtxt": _AFTER,
    "postprocessing/1/model.py": _CODE,
    "tensorrt_llm/config.pbtxt": _ENGINE,
    "tensorrt_llm/1/.gitkeep": "",
    "tensorrt_llm_bls/config.pbtxt": _CALLER,
    "tensorrt_llm_bls/1/model.py": _CODE,
    "ensemble/config.pbtxt": _ENSEMBLE,
    "ensemble/1/.gitkeep": "",
}
TRTLLM_VALUES = {
    "triton_backend": "tensorrtllm",
    "triton_max_batch_size": "8",
    "decoupled_mode": "true",
    "max_queue_delay_microseconds": "0",
    "max_queue_size": "0",
    "logits_datatype": "TYPE_FP32",
    "batching_strategy": "inflight_fused_batching",
    "engine_dir": "/engines/llama",
    "tokenizer_dir": "/models/llama",
    "tensorrt_llm_model_name": "tensorrt_llm",
    "bls_instance_count": "8",
    "preprocessing_instance_count": "1",
    "postprocessing_instance_count": "1",
}

# A model of TensorRT-LLM's LLM API, which makes its engine when it loads.
LLM_API_YAML = """# Arguments of the engine.
model: TinyLlama/TinyLlama-1.1B-Chat-v1.0
backend: pytorch
tensor_parallel_size: 1
pipeline_parallel_size: 1
triton_config:
  max_batch_size: 0
  decoupled: false
"""
_LLM_API_CONFIG = """name: "tensorrt_llm"
backend: "python"

# What model.yaml says stays out of here:
# max_batch_size: 64
# model_transaction_policy { decoupled: False }
instance_group [
  {
    count: 1
    kind : KIND_CPU
  }
]
input [
  {
    name: "text_input"
    data_type: TYPE_STRING
    dims: [ -1 ]
  },
  {
    name: "streaming"
    data_type: TYPE_BOOL
    dims: [ 1 ]
    optional: true
  },
  {
    name: "sampling_param_max_tokens"
    data_type: TYPE_INT32
    dims: [ 1 ]
    optional: true
  }
]
output [
  {
    name: "text_output"
    data_type: TYPE_STRING
    dims: [ -1 ]
  }
]
"""
_LLM_API_CODE = f"""from helpers import sampling_params

{_CODE}
    @staticmethod
    def auto_complete_config(config):
        config.set_max_batch_size(0)
        config.set_model_transaction_policy({{"decoupled": False}})
        return config
"""
LLM_API = {
    "tensorrt_llm/config.pbtxt": _LLM_API_CONFIG,
    "tensorrt_llm/1/model.py": _LLM_API_CODE,
    "tensorrt_llm/1/helpers.py": "def sampling_params():\n    return {}\n",
    "tensorrt_llm/1/model.yaml": LLM_API_YAML,
}

DALI_PIPELINE = '''"""Decodes and resizes images."""

import nvidia.dali as dali
from nvidia.dali import fn, types
from nvidia.dali.plugin.triton import autoserialize


@autoserialize
@dali.pipeline_def(batch_size=64, num_threads=4, device_id=0, output_dtype=[types.FLOAT],
                   output_ndim=[3])
def pipeline():
    coded = fn.external_source(device="cpu", name="IMAGE", dtype=types.UINT8, ndim=1)
    images = fn.decoders.image(coded, device="mixed", output_type=types.RGB)
    return fn.resize(images, resize_x=224, resize_y=224)
'''
DALI = {
    "decoder/config.pbtxt": 'backend: "dali"\ninstance_group [ { count: 1 kind: KIND_GPU } ]\n',
    "decoder/1/dali.py": DALI_PIPELINE,
    "resizer/config.pbtxt": 'backend: "dali"\nmax_batch_size: 64\n'
    "instance_group [ { count: 1 kind: KIND_GPU } ]\n",
    # One field of a message, as a serialised pipeline begins with some.
    "resizer/1/model.dali": "\x08\x04",
}


def filled(texts: Mapping[str, str], **changes: str) -> dict[str, str]:
    """The texts with their placeholders replaced, as fill_template.py does; the rest stays."""
    values = TRTLLM_VALUES | changes

    def value(found: re.Match[str]) -> str:
        return values.get(found[1], found[0])

    return {path: re.sub(r"\$\{(\w+)\}", value, text) for path, text in texts.items()}


def write(root: Path, texts: Mapping[str, str]) -> Path:
    """The files of a repository below a folder."""
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root
