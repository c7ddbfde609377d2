"""Which image serves a plan, whether it is here, and what it holds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.progress import Progress
from tritongen.model.releases import RELEASES, at_least, find
from tritongen.serving.docker.docker_engine import DockerEngine, speaking
from tritongen.serving.protocol import ServerSpec
from tritongen.serving.runtime_requirements import ModelNeeds, unmet

if TYPE_CHECKING:
    from docker import DockerClient


OFFICIAL = "nvcr.io/nvidia/tritonserver"

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}")
# Images beside `-py3` that bring one backend of their own.
_FLAVOURS = {"vllm": "vllm-python-py3", "tensorrtllm": "trtllm-python-py3"}
# What every official `-py3` image holds and the registry of backends does not describe.
_ALWAYS = frozenset({"ensemble", "identity", "square", "repeat", "dali", "python"})
# What the images of one backend hold beside it.
_BESIDE = frozenset({"ensemble", "python"})
# Set in official images.
_RELEASE_VARIABLE = "NVIDIA_TRITON_SERVER_VERSION"
_SERVER_VARIABLE = "TRITON_SERVER_VERSION"
_CUDA_VARIABLE, _DRIVER_VARIABLE = "CUDA_VERSION", "CUDA_DRIVER_VERSION"
_BACKENDS_LABEL = "tritongen.image.backends"
PYTHON_LABEL = "tritongen.image.python-backends"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image says of itself.

    Attributes:
        architecture: such as ``amd64``.
        release: Triton release ``YY.MM``, empty when it does not say.
        server: version of the server, empty when it does not say.
        backends: that it holds, None when it does not say.
        python_backends: of those, the ones that run a process for each instance.
        entry: `tritonserver` is, or may be, on its PATH.
        cuda: version of its CUDA, empty when it does not say.
        driver: of NVIDIA that this CUDA was made for, empty when it does not say.
    """

    architecture: str
    release: str = ""
    server: str = ""
    backends: frozenset[str] | None = None
    python_backends: frozenset[str] = frozenset({"python"})
    entry: bool = True
    cuda: str = ""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """An image and, in a sentence, why it is this one."""

    reference: str
    reason: str


def image_for(spec: ServerSpec) -> ImageChoice:
    """The image that serves a spec: the user's, or the official one that fits the plan.

    Raises:
        InvalidInputError: TG304, the user's is no name of an image.
        EnvironmentProblem: TG852, no official image of the release does.
    """
    if spec.image:
        return ImageChoice(checked(spec.image), "named with --image")
    return choose_image(spec.release, spec.backends, spec.needs)


def checked(reference: str) -> str:
    """The reference with its tag, when it is one.

    Raises:
        InvalidInputError: TG304.
    """
    if not _REFERENCE.fullmatch(reference):
        raise InvalidInputError("TG304", f"{reference!r} is not the name of an image")
    last = reference.rpartition("/")[2]
    return reference if ":" in last or "@" in last else f"{reference}:latest"


def choose_image(
    release: str, backends: tuple[str, ...], needs: Sequence[ModelNeeds] = ()
) -> ImageChoice:
    """The official image for a plan, or for a repository that nobody planned.

    Args:
        release: ``YY.MM`` that was planned for; empty for a hand-written repository, which gets the
            tool's default, or the newest release that still has its backends.
        backends: that the models need.
        needs: of the files of a hand-written repository, for which the default gives way, too.

    Raises:
        EnvironmentProblem: TG852, no image holds them together.
    """
    held = ", ".join(sorted(set(backends) - {"", "ensemble"})) or "the standard backends"
    if release:
        reference = official_image(release, backends)
        return ImageChoice(reference, f"planned for Triton {release}, whose image holds {held}")
    known, usual = releases_with(backends), _default()
    fits = tuple(tag for tag in known if not unmet(find(tag), needs))
    plans = _plans(needs)
    if fits or not known:
        if usual in fits or not known:
            tag, why = usual, f"no release is planned for; {usual} holds"
        elif later := [item for item in fits if at_least(item, usual)]:
            tag, why = later[0], f"{later[0]} is the first release whose image holds"
        else:
            tag, why = fits[-1], f"{fits[-1]} is the last release whose image holds"
        loads = f" and {_loads(tag, needs)}" if any(need.onnx_ir for need in needs) else ""
        return ImageChoice(official_image(tag, backends), f"{why} {held}{loads}{plans}")
    # Better the newest that is known than none: it may load what was never tried with it.
    tag = known[-1]
    reason = (
        f"{tag} is the last release whose image holds {held}; "
        f"{unmet(find(tag), needs)}, which its ONNX Runtime {find(tag).onnxruntime} does not "
        f"load{plans}"
    )
    return ImageChoice(official_image(tag, backends), reason)


def _loads(tag: str, needs: Sequence[ModelNeeds]) -> str:
    """What of ONNX a release's runtime loads here."""
    greatest = max(need.onnx_ir for need in needs)
    opset = max((n for need in needs for name, n in need.opsets if name == "ai.onnx"), default=0)
    asked = f"IR version {greatest}" + (f", opset {opset}" if opset else "")
    return f"its ONNX Runtime {find(tag).onnxruntime} loads {asked}"


def _plans(needs: Sequence[ModelNeeds]) -> str:
    """TensorRT loads its own plans only, and which one an image brings is in no table here."""
    plans = [need for need in needs if need.producer]
    if not plans:
        return ""
    return (
        f"; {plans[0].path} is a plan of {plans[0].producer} and loads with that one only: "
        "name the image that built it with --image when this one refuses it"
    )


def official_image(release: str, backends: tuple[str, ...]) -> str:
    """The official image of a release that holds the backends.

    Args:
        release: ``YY.MM``; the tool's default when empty.
        backends: that the models need.

    Raises:
        EnvironmentProblem: TG852, the release's images do not hold them together.
    """
    tag = release or _default()
    flavours = {_FLAVOURS[name] for name in backends if name in _FLAVOURS}
    others = set(backends) - set(_FLAVOURS) - (_BESIDE if flavours else _ALWAYS)
    if len(flavours) > 1 or (flavours and others):
        raise EnvironmentProblem(
            "TG852", f"no image of {tag} holds {', '.join(sorted(set(backends)))} together"
        )
    wanted = others or set(backends) & set(_FLAVOURS)
    absent = [name for name in sorted(wanted) if not _ships(tag, name)]
    if absent:
        known = releases_with(backends)
        fix = f"Set target.triton to one of {known[0]} … {known[-1]}." if known else ""
        raise EnvironmentProblem(
            "TG852", f"Triton {tag} does not ship the backend {', '.join(absent)}", fix=fix
        )
    return f"{OFFICIAL}:{tag}-{next(iter(flavours), 'py3')}"


def _default() -> str:
    """The tool's default release, which stands among much that no planned repository needs."""
    from tritongen.model.intent import DEFAULT_TRITON

    return DEFAULT_TRITON


def _ships(release: str, backend: str) -> bool:
    """Whether a release's `-py3` image holds a backend; unknown ones are the user's own."""
    from tritongen.model.backends import BACKENDS

    rules = BACKENDS.get(backend)
    if rules is None or backend in _ALWAYS:
        return True
    return (not rules.since or at_least(release, rules.since)) and (
        not rules.until or at_least(rules.until, release)
    )


def releases_with(backends: tuple[str, ...]) -> tuple[str, ...]:
    """Known releases of which an image holds every one of the backends, oldest first."""
    return tuple(
        release.tag for release in RELEASES if all(_ships(release.tag, name) for name in backends)
    )


def describe(engine: DockerEngine, reference: str) -> ImageFacts | None:
    """What a local image says of itself, None when it is not here.

    Raises:
        EnvironmentProblem: TG840.
    """
    attributes = engine.image(reference)
    if attributes is None:
        return None
    config = attributes.get("Config") or {}
    pairs = (entry.partition("=") for entry in config.get("Env") or ())
    variables = {name: value for name, _, value in pairs}
    labels = config.get("Labels") or {}
    own = labels.get(_BACKENDS_LABEL)
    release = variables.get(_RELEASE_VARIABLE, "")
    known = bool(own) or bool(release) or _SERVER_VARIABLE in variables
    return ImageFacts(
        architecture=str(attributes.get("Architecture", "")),
        release=release if re.fullmatch(r"\d\d\.\d\d", release) else "",
        server=variables.get(_SERVER_VARIABLE, ""),
        backends=frozenset(own.split()) if own else None,
        python_backends=frozenset((labels.get(PYTHON_LABEL) or "python").split()),
        entry=known,
        cuda=variables.get(_CUDA_VARIABLE, ""),
        driver=variables.get(_DRIVER_VARIABLE, ""),
    )


def pull(client: "DockerClient", reference: str, progress: Progress | None) -> None:
    """Brings an image, layer by layer; an interrupted pull leaves no image.

    Args:
        client: of the engine.
        reference: with its tag.
        progress: told of bytes.

    Raises:
        EnvironmentProblem: TG842 it cannot be pulled, TG005 no space, TG840 the engine is gone.
    """
    done: dict[str, int] = {}
    sizes: dict[str, int] = {}
    try:
        with speaking(reference):
            for event in client.api.pull(reference, stream=True, decode=True):
                if "error" in event:
                    raise _pull_problem(str(event["error"]), reference)
                detail = event.get("progressDetail") or {}
                if event.get("status") == "Downloading" and detail.get("total"):
                    done[event["id"]] = int(detail["current"])
                    sizes[event["id"]] = int(detail["total"])
                elif event.get("status") in {"Download complete", "Pull complete"}:
                    done[event["id"]] = sizes.get(event["id"], 0)
                if progress and sizes:
                    progress(f"pulling {reference}", sum(done.values()), sum(sizes.values()))
    except EnvironmentProblem as problem:
        if problem.code != "TG845":
            raise
        raise _pull_problem(problem.what, reference) from problem


def _pull_problem(text: str, reference: str) -> EnvironmentProblem:
    if "no space left on device" in text:
        return EnvironmentProblem("TG005", "no space left for the image", where=reference)
    return EnvironmentProblem("TG842", f"image cannot be pulled: {text}", where=reference)
