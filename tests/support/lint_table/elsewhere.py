"""Configurations that the embedded Triton cannot judge: other backends, releases and flags."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.lint_cases import FILES, plus, swap


@dataclass(frozen=True)
class Elsewhere:
    """A configuration that another server refuses.

    Attributes:
        name: of the model and of the test.
        config: its configuration.
        code: of the one error.
        rules: numbers of the load rules that it covers.
        server: fields of the lint's context.
        files: by path relative to the model's folder.
    """

    name: str
    config: str
    code: str
    rules: tuple[int, ...]
    server: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=lambda: FILES)


def other(backend: str, tensor: str = "", group: str = "kind: KIND_CPU") -> str:
    """A configuration for a backend that is not embedded."""
    return (
        f'backend: "{backend}"\nmax_batch_size: 0\n'
        f'input {{ name: "INPUT__0" data_type: TYPE_FP32 dims: [ 4 ] {tensor} }}\n'
        'output { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 4 ] }\n'
        f"instance_group {{ {group} count: 1 }}\n"
    )


def control(name: str, body: str) -> Elsewhere:
    """One metric control, which servers know from 24.11 on."""
    config = plus(f"model_metrics {{ metric_control {{ {body} }} }}")
    return Elsewhere(name, config, "TG439", (39,), {"release": "24.11"})


def needing(*scopes: str, count: int = 1) -> str:
    """The base configuration whose groups need a resource, each in one scope."""
    groups = [
        "{ kind: KIND_CPU count: 1 rate_limiter { resources [ "
        f'{{ name: "R1" {scope} count: {count} }} ] }} }}'
        for scope in scopes
    ]
    return swap("{ kind: KIND_CPU count: 1 }", ", ".join(groups))


_FAMILY = 'metric_identifier { family: "nv_inference_first_response_histogram_ms" }'
_BUCKETS = "histogram_options { buckets: [ 1, 2 ] }"

ELSEWHERE: tuple[Elsewhere, ...] = (
    Elsewhere(
        "profile_by_name",
        other("tensorrt", group='kind: KIND_GPU profile: [ "best" ]'),
        "TG435",
        (35,),
        {"gpus": 1},
        {"1/model.plan": b"plan"},
    ),
    Elsewhere(
        "optional_of_openvino",
        other("openvino", "optional: true"),
        "TG436",
        (36,),
        {},
        {"1/model.xml": b"<net/>", "1/model.bin": b"weights"},
    ),
    Elsewhere(
        "resource_global_and_per_device",
        needing("global: true", ""),
        "TG438",
        (38,),
        {"rate_limiter": True},
    ),
    Elsewhere(
        "resource_below_need",
        needing("", count=2),
        "TG438",
        (38,),
        {"rate_limiter": True, "resources": (("R1", 1),)},
    ),
    control("control_without_identifier", _BUCKETS),
    control("control_of_no_family", f"metric_identifier {{ }} {_BUCKETS}"),
    control("control_without_options", _FAMILY),
    control("control_without_buckets", f"{_FAMILY} histogram_options {{ }}"),
)
