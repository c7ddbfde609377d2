"""Cases: identity, backend, batching, caching."""

from support.lint_cases import Case, plus, swap

IDENTITY: tuple[Case, ...] = (
    Case(
        "other_name",
        plus('name: "another"'),
        ("TG402",),
        "directory name must equal model name",
        (2,),
    ),
    Case("own_name", plus('name: "own_name"'), rules=(2,)),
    Case(
        "no_backend",
        swap('backend: "python"\n', ""),
        ("TG403",),
        "Could not determine backend for model 'no_backend' with no backend in model",
        (3,),
        files={"1/notes.txt": b"x"},
    ),
    Case(
        "bare_platform",
        swap('backend: "python"', 'platform: "onnxruntime"'),
        ("TG403",),
        "unexpected platform type 'onnxruntime' for bare_platform",
        (3,),
    ),
    Case(
        "ensemble_backend",
        swap('backend: "python"', 'backend: "python" platform: "ensemble"'),
        ("TG404", "TG441"),
        "must have platform type 'ensemble' and empty backend type",
        (4,),
    ),
    Case(
        "pair",
        swap('backend: "python"', 'backend: "onnxruntime" platform: "tensorrt_plan"'),
        ("TG405",),
        "unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime",
        (5,),
    ),
    Case(
        "negative_batch",
        swap("max_batch_size: 8", "max_batch_size: -1"),
        ("TG406",),
        "'max_batch_size' must be non-negative value for negative_batch",
        (6,),
    ),
    Case(
        "unknown_backend",
        swap('"python"', '"nosuch"'),
        ("TG455",),
        "unable to find backend library for backend 'nosuch', try specifying runtime",
    ),
    Case(
        "unknown_runtime",
        plus('runtime: "nolib.so"'),
        ("TG456",),
        "unable to find backend library 'nolib.so' for model 'unknown_runtime', searched:",
    ),
    Case(
        "python_runtime_of_python",
        plus('runtime: "model.py"'),
        ("TG456",),
        "unable to find Python backend based backend library 'model.py'",
    ),
    Case("runtime_by_name", plus('runtime: "libtriton_python.so"')),
    Case("runtime_elsewhere", plus('runtime: "../python/libtriton_python.so"'), ("TG456",)),
    Case(
        "no_agent_in_agents",
        plus("model_repository_agents { }"),
        ("TG457",),
        "killed by SIGSEGV",
        ends=True,
    ),
    Case(
        "absent_agent",
        plus('model_repository_agents { agents { name: "checksum" } }'),
        ("TG457",),
        "unable to find 'libtritonrepoagent_checksum.so' for repo agent 'checksum'",
    ),
    Case(
        "newer_field",
        plus("model_metrics { }"),
        ("TG460",),
        'Message type "inference.ModelConfig" has no field named "model_metrics".',
        (1,),
    ),
    Case("detected", swap('backend: "python"\n', ""), ("TG645",)),
    Case("contradicting_platform", plus('platform: "onnxruntime_onnx"'), ("TG615",)),
)

BATCHING: tuple[Case, ...] = (
    Case(
        "preferred_above",
        plus("dynamic_batching { preferred_batch_size: [ 16 ] }"),
        ("TG407",),
        "dynamic batching preferred size must be <= max batch size for preferred_above",
        (7,),
    ),
    Case(
        "preferred_zero",
        plus("dynamic_batching { preferred_batch_size: [ 0 ] }"),
        ("TG407",),
        "dynamic batching preferred size must be positive for preferred_zero",
        (7,),
    ),
    Case(
        "preferred_without_batching",
        plus("dynamic_batching { preferred_batch_size: [ 1 ] }", swap(": 8", ": 0")),
        ("TG407",),
        "dynamic batching preferred size must be <= max batch size",
        (7,),
    ),
    Case("preferred", plus("dynamic_batching { preferred_batch_size: [ 4, 8 ] }"), ("TG641",)),
    Case(
        "batcher_without_batching",
        plus("dynamic_batching { }", swap(": 8", ": 0")),
        ("TG607",),
        rules=(8,),
    ),
    Case(
        "limited_queue",
        plus("dynamic_batching { default_queue_policy { max_queue_size: 9 } }"),
        ("TG652",),
    ),
    Case(
        "long_delay",
        plus("dynamic_batching { max_queue_delay_microseconds: 5000000 }"),
        ("TG654",),
    ),
    Case("open_queue", plus("dynamic_batching { default_queue_policy { } }")),
    Case("batcher_of_one", plus("dynamic_batching { }", swap(": 8", ": 1")), ("TG607",)),
    Case(
        "no_default_priority",
        plus("dynamic_batching { priority_levels: 3 }"),
        ("TG409",),
        "default priority level must be in range [1, 3] for no_default_priority",
        (9,),
    ),
    Case(
        "policy_above_levels",
        plus(
            "dynamic_batching { priority_levels: 2 default_priority_level: 1 "
            "priority_queue_policy { key: 3 value { max_queue_size: 1 } } }"
        ),
        ("TG410",),
        "priority queue policy must have priority level in range [1, 2] for policy_above_levels",
        (10,),
    ),
    Case(
        "policy_without_levels",
        plus("dynamic_batching { priority_queue_policy { key: 3 value { max_queue_size: 1 } } }"),
        ("TG621",),
        rules=(10,),
    ),
    Case(
        "ordered_priorities",
        plus(
            "dynamic_batching { preserve_ordering: true priority_levels: 2 "
            "default_priority_level: 1 }"
        ),
        ("TG411",),
        "Only one priority level is allowed when 'preserve_ordering' is true",
        (11,),
    ),
    Case(
        "ordered_delay",
        plus(
            "dynamic_batching { preserve_ordering: true default_queue_policy { "
            "timeout_action: DELAY default_timeout_microseconds: 100 } }"
        ),
        ("TG412",),
        "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true",
        (12,),
    ),
    Case(
        "ordered_delay_of_a_level",
        plus(
            "dynamic_batching { preserve_ordering: true priority_levels: 1 "
            "default_priority_level: 1 priority_queue_policy { key: 1 value { "
            "timeout_action: DELAY default_timeout_microseconds: 100 } } }"
        ),
        ("TG412",),
        "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true",
        (12,),
    ),
    Case(
        "cache_of_sequences",
        plus("sequence_batching { } response_cache { enable: true }"),
        ("TG414",),
        "Response Cache does not currently support model cache_of_sequences with sequence",
        (14,),
    ),
    Case(
        "cache_of_streams",
        plus("model_transaction_policy { decoupled: true } response_cache { enable: true }"),
        ("TG415",),
        "Response Cache does not currently support model cache_of_streams with 'decoupled'",
        (15,),
    ),
    Case("cache_without_cache", plus("response_cache { enable: true }"), ("TG613",)),
)
