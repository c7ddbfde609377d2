"""TensorRT plans: what the header says without TensorRT, and what a text beside it says.

The text is what ``polygraphy inspect model model.plan`` prints where TensorRT is at hand: inputs,
outputs and the shapes of each optimisation profile.
"""

import re
from dataclasses import replace

from tritongen.formats.reading import ModelSource
from tritongen.model.engine_facts import PlanFacts, ProfileRange
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Severity
from tritongen.model.tensors import DType, TensorSpec
from tritongen.system.paths import read_head

SIDE_SUFFIX = ".txt"
# Chosen: a description has some kilobytes.
_MAX_SIDE_BYTES = 1 << 20
_SECTION = re.compile(r"^.*---- (.*?) ----\s*$", re.MULTILINE)
_TENSOR = re.compile(r"([^\s{},][^\[\]{}\n]*?) \[dtype=([\w.]+), shape=\(([^)]*)\)\]")
_RANGE = re.compile(
    r"Tensor: (\S.*?)\s+\(Input\), Index: \d+ \| Shapes?: "
    r"min=\(([^)]*)\), opt=\(([^)]*)\), max=\(([^)]*)\)"
)
_TYPES = {
    "float32": DType.FP32,
    "float16": DType.FP16,
    "bfloat16": DType.BF16,
    "int64": DType.INT64,
    "int32": DType.INT32,
    "int8": DType.INT8,
    "uint8": DType.UINT8,
    "bool": DType.BOOL,
}

# The plan states the number of its serialisation, which goes with TensorRT's release.
_VERSION_AT = 8
_RELEASES = {205: "8.2", 213: "8.4", 232: "8.5"}
_SAFE = b"ftrt"


def read_tensorrt(source: ModelSource) -> ModelFacts:
    """The facts of one plan: its kind and the number of its serialisation.

    Raises:
        OSError: it cannot be opened.
    """
    head = read_head(source.file, _VERSION_AT + 1)
    number = head[_VERSION_AT] if len(head) > _VERSION_AT else 0
    release = _RELEASES.get(number)
    producer = f"TensorRT {release}" if release else f"TensorRT, serialisation {number}"
    kind = " for the safety runtime" if head.startswith(_SAFE) else ""
    size = source.file.stat().st_size
    if size <= _VERSION_AT:
        return source.facts.refused("TG102", "the plan is cut off in its header")
    remark = source.facts.finding(
        "TG140",
        f"a plan of {producer}{kind}; it loads with that TensorRT and on the kind of GPU that "
        "built it",
        severity=Severity.INFO,
        fix="Build it in the target image, on the GPU that serves it.",
    )
    facts = replace(source.facts, weight_bytes=size, producer=producer + kind, findings=(remark,))
    side = source.file.with_name(source.file.name + SIDE_SUFFIX)
    if not source.holds(side):
        return facts
    return described(facts, read_head(side, _MAX_SIDE_BYTES).decode("utf-8", "replace"))


def described(facts: ModelFacts, text: str) -> ModelFacts:
    """The facts with inputs, outputs and profile of a description; as they are for other texts."""
    titles = list(_SECTION.finditer(text))
    ends = [title.start() for title in titles[1:]] + [len(text)] if titles else []
    parts = {title[1]: text[title.end() : end] for title, end in zip(titles, ends, strict=True)}
    named = {title.split(" ", 1)[-1].partition(" (")[0]: part for title, part in parts.items()}
    inputs = _tensors(named.get("Engine Input(s)", ""))
    outputs = _tensors(named.get("Engine Output(s)", ""))
    if not (inputs and outputs):
        return facts
    profiles = next((part for title, part in named.items() if title == "Profile(s)"), "")
    count = len(re.findall(r"- Profile: \d+", profiles))
    first = re.split(r"- Profile: \d+", profiles)[1] if count else ""
    ranges = tuple(
        ProfileRange(match[1], *(_sizes(match[place]) for place in (2, 3, 4)))
        for match in _RANGE.finditer(first)
    )
    return replace(facts, inputs=inputs, outputs=outputs, plan=PlanFacts(ranges, max(count, 1)))


def _tensors(text: str) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            match[1],
            _TYPES.get(match[2].lower().rpartition(".")[2]),
            tuple(size if size >= 0 else None for size in _sizes(match[3])),
            declared_type=match[2],
        )
        for match in _TENSOR.finditer(text)
    )


def _sizes(text: str) -> tuple[int, ...]:
    """Sizes of a shape, -1 for those that are named or open."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(int(part) if re.fullmatch(r"[0-9]{1,18}", part) else -1 for part in parts)
