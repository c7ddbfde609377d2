"""TensorRT plans: what the header says without TensorRT."""

from dataclasses import replace

from tritongen.formats.reading import ModelSource
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Severity
from tritongen.system.paths import read_head

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
    return replace(
        source.facts,
        weight_bytes=size,
        producer=producer + kind,
        findings=(remark,),
    )
