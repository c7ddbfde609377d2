"""Cases: instance groups and warm-up."""

from support.lint import BASE
from support.lint_cases import FILES, Case, flat, plus, swap


def group(body: str) -> str:
    """The base configuration with another instance group."""
    return swap("{ kind: KIND_CPU count: 1 }", f"{{ {body} }}")


INSTANCES: tuple[Case, ...] = (
    Case(
        "cpu_with_gpus",
        group("kind: KIND_CPU count: 1 gpus: [ 0 ]"),
        ("TG434",),
        "has kind KIND_CPU but specifies one or more GPUs",
        (34,),
    ),
    Case(
        "model_with_gpus",
        group("kind: KIND_MODEL count: 1 gpus: [ 0 ]"),
        ("TG434",),
        "has kind KIND_MODEL but specifies one or more GPUs",
        (34,),
    ),
    Case(
        "auto_with_gpus",
        group("count: 1 gpus: [ 0 ]"),
        ("TG434",),
        "has kind KIND_CPU but specifies one or more GPUs",
        (34,),
    ),
    Case(
        "gpu_without_gpu",
        group("kind: KIND_GPU count: 1"),
        ("TG434",),
        "has kind KIND_GPU but no GPUs are available",
        (34,),
    ),
    Case(
        "gpu_id",
        group("kind: KIND_GPU count: 1 gpus: [ 0 ]"),
        ("TG434",),
        "specifies invalid or unsupported gpu id 0",
        (34,),
    ),
    Case(
        "profile",
        group('kind: KIND_CPU count: 1 profile: [ "0" ]'),
        ("TG435",),
        "specifies profile field which is only supported for TensorRT models",
        (35,),
    ),
    Case(
        "kind_by_unknown_number",
        group("kind: 7 count: 1"),
        ("TG434",),
        "has unexpected kind KIND_AUTO",
        (34,),
    ),
    Case("count_zero", group("kind: KIND_CPU count: 0"), ("TG603",)),
    Case("count_negative", group("kind: KIND_CPU count: -3"), ("TG603",)),
    Case("count_missing", group("kind: KIND_CPU"), ("TG642",)),
    Case("group_missing", swap("instance_group [ { kind: KIND_CPU count: 1 } ]\n", ""), ("TG642",)),
    Case("kind_auto", group("count: 1"), ("TG643",)),
    Case(
        "group_names",
        swap(
            "[ { kind: KIND_CPU count: 1 } ]",
            '[ { name: "g" kind: KIND_CPU count: 1 }, { name: "g" kind: KIND_CPU count: 1 } ]',
        ),
        ("TG608",),
    ),
    Case("host_policy", group('kind: KIND_CPU count: 1 host_policy: "nosuch"'), ("TG609",)),
    Case("passive", group("kind: KIND_CPU count: 1 passive: true"), ("TG616",)),
    Case(
        "limiter_off",
        swap(
            "[ { kind: KIND_CPU count: 1 } ]",
            '[ { kind: KIND_CPU count: 1 rate_limiter { resources [ { name: "R1" global: true '
            'count: 1 } ] } }, { kind: KIND_CPU count: 1 rate_limiter { resources [ { name: "R1" '
            "count: 1 } ] } } ]",
        ),
        ("TG627",),
        rules=(38,),
    ),
)


def warm(body: str, batch: int = 1, base: str = BASE) -> str:
    """The base configuration with a warm-up sample."""
    return plus(f'model_warmup [ {{ name: "w" batch_size: {batch} {body} }} ]', base)


def sample(body: str, name: str = "IN") -> str:
    """One input of a sample."""
    return f'inputs {{ key: "{name}" value {{ {body} }} }}'


WARMUP: tuple[Case, ...] = (
    Case(
        "warm_fine", warm(sample("data_type: TYPE_FP32 dims: [ 4 ] zero_data: true")), rules=(40,)
    ),
    Case(
        "warm_whole_batch",
        warm(sample("data_type: TYPE_FP32 dims: [ 4 ] random_data: true"), 8),
        rules=(40,),
    ),
    Case(
        "warm_batch",
        warm(sample("data_type: TYPE_FP32 dims: [ 4 ] zero_data: true"), 64),
        ("TG440",),
        "max allowed is 8",
        (40,),
    ),
    Case(
        "warm_dynamic",
        warm(sample("data_type: TYPE_FP32 dims: [ -1 ] zero_data: true")),
        ("TG440",),
        "warmup setting expects all variable-size dimensions are specified",
        (40,),
    ),
    Case(
        "warm_no_data",
        warm(sample("data_type: TYPE_FP32 dims: [ 4 ]")),
        ("TG440",),
        "to have input_data_type set",
        (40,),
    ),
    Case(
        "warm_short",
        warm(sample('data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "x"')),
        ("TG440",),
        "warmup setting expects 16 bytes, but the data provided from xonly has 4",
        (40,),
        files={**FILES, "warmup/x": b"1234"},
    ),
    Case(
        "warm_no_file",
        warm(sample('data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "x"')),
        ("TG440",),
        "failed to open text file for read",
        (40,),
    ),
    Case(
        "warm_long_file",
        warm(sample('data_type: TYPE_FP32 dims: [ 4 ] input_data_file: "x"')),
        rules=(40,),
        files={**FILES, "warmup/x": b"1234" * 5},
    ),
    Case("warm_missing", warm(""), ("TG440",), "missing required input(s) ['IN']", (40,)),
    Case(
        "warm_type",
        warm(sample("data_type: TYPE_INT32 dims: [ 4 ] zero_data: true")),
        ("TG440",),
        "inference input 'IN' data-type is 'INT32', but model 'warm_type' expects 'FP32'",
        (40,),
    ),
    Case(
        "warm_shape",
        warm(sample("data_type: TYPE_FP32 dims: [ 5 ] zero_data: true")),
        ("TG440",),
        "unexpected shape for input 'IN'",
        (40,),
    ),
    Case(
        "warm_rank",
        warm(sample("data_type: TYPE_FP32 dims: [ 1, 4 ] zero_data: true")),
        ("TG440",),
        "unexpected shape for input 'IN'",
        (40,),
    ),
    Case(
        "warm_flat_batch",
        warm(sample("data_type: TYPE_FP32 dims: [ 4 ] zero_data: true"), 2, flat(BASE)),
        ("TG440",),
        "max allowed",
        (40,),
    ),
    Case(
        "warm_zero", warm(sample("data_type: TYPE_FP32 dims: [ 4 ] zero_data: true"), 0), ("TG612",)
    ),
    Case(
        "warm_not_zero",
        warm(sample("data_type: TYPE_FP32 dims: [ 4 ] zero_data: false")),
        ("TG622",),
    ),
    Case(
        "warm_unknown",
        warm(
            sample("data_type: TYPE_FP32 dims: [ 4 ] zero_data: true")
            + " "
            + sample("data_type: TYPE_FP32 dims: [ 4 ] zero_data: true", "X")
        ),
        ("TG440",),
        rules=(40,),
    ),
)
