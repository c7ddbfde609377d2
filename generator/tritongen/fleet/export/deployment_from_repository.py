"""From a built repository, its lock and a plan of machines to what is deployed."""

import hashlib
import json
import math
import os
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.model_profile import container_memory
from tritongen.fleet.export.deployment import (
    HUB,
    Container,
    DeployedModel,
    Deployment,
    PlannedService,
    Replicas,
    Service,
)
from tritongen.fleet.export.model_files import holds_models, repository_files, short
from tritongen.fleet.export.plan_agreement import built_shares, plan_findings
from tritongen.fleet.export.planned_deployment import PlannedDeployment
from tritongen.formats.language_model_size import size_of
from tritongen.model.evidence import instance_bytes, instance_memory
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import Intent, ModelIntent
from tritongen.model.lock import Lock, LockedModel, is_rate_limited
from tritongen.repository.project import read_lock
from tritongen.repository.render_repository import CONFIG_FILE
from tritongen.repository.write_repository import settle
from tritongen.serving.docker.container_settings import ContainerSettings
from tritongen.serving.docker.health_check import HEALTH
from tritongen.serving.docker.images import checked, official_image
from tritongen.serving.protocol import ModelControl, ServerSpec
from tritongen.serving.server_spec import ServedRepository, UpOptions, server_spec
from tritongen.triton.server import ApiKeys, RuntimeName
from tritongen.triton.server_state import StateStore

# An estimate of a container's memory is rounded up to whole steps; chosen.
_MEMORY_STEP = 256 << 20
# Without a plan: a wait of this share of the tightest goal tells the autoscaler to add a replica.
_QUEUE_SHARE = 0.1
_QUEUE_DEFAULT_US = 5_000
_MIN_QUEUE_US = 100
# For weights to come from the hub at the first start; chosen: an hour.
_FETCHING_S = 3600
# Stands for the repository's digest in a storage's path.
_DIGEST = "DIGEST"
# Without a plan, and without a limit of the user's.
_MAX_REPLICAS_FACTOR = 4


class ExportMode(StrEnum):
    """What to do with the result."""

    WRITE = "write"
    CHECK = "check"
    SHOW = "show"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export.

    Attributes:
        target: a key of `TARGETS`.
        repository: to deploy.
        output: folder that is written, from which paths are relative.
        name: of the deployment.
        image: of every container; the official one that fits the release when empty. Without tag
            and digest it is one to build, which holds the models, under the repository's digest.
        storage: where a cluster finds the repository; `DIGEST` in it stands for the repository's.
        namespace: of the cluster; the deployment's name when empty.
        models: folder with `tritongen.yaml`; None where it is not known.
        plan: file of `tritongen plan`; None takes the one beside the repository, if any.
        mode: write, only compare, or only show.
        force: overwrite hand edits, keeping them beside as ``*.orig``.
    """

    target: str
    repository: Path
    output: Path
    name: str = "triton"
    image: str = ""
    storage: str = ""
    namespace: str = ""
    models: Path | None = None
    plan: Path | None = None
    mode: ExportMode = ExportMode.WRITE
    force: bool = False


def make_deployment(
    intent: Intent, request: ExportRequest, plan: PlannedDeployment, lock: Lock
) -> tuple[Deployment, tuple[Finding, ...]]:
    """What is deployed, and what there is to say of it.

    Args:
        intent: goals, rates and what availability asks for.
        request: the user's further choices.
        plan: of machines; without services there is one service with every model.
        lock: of the repository.

    Raises:
        InvalidInputError: TG708 no models, TG750 not the plan's models or threads beyond the plan's
            cores, TG304 the image's name is none, TG752 a name that targets refuse.
        EnvironmentProblem: TG852, no official image serves the models.
    """
    # Only its paths differ from what `up` makes; none of them is written down.
    store = StateStore(request.repository.parent)
    served = ServedRepository(request.repository, lock)
    spec = server_spec(store, served, UpOptions(RuntimeName.DOCKER))
    digest = _digest(lock)
    image, base = _images(request, spec, digest)
    planned = plan.services or (_unplanned(intent, request.name, lock, spec.models),)
    findings = [*plan_findings(lock, planned, spec.models)]
    if not plan.services:
        replicas = planned[0].replicas
        what = f"without a plan: {replicas.least} to {replicas.most} replicas, whatever the rate"
        fix = "Run `tritongen plan` and name its file with --plan."
        findings.append(finding("TG759", Severity.INFO, what, fix=fix))
    made = (_service(entry, spec, lock, intent, image) for entry in planned)
    services = tuple(_settled(one, plan, holds_models=bool(base)) for one in made)
    if not (base or services[0].container.pinned):
        what = f"{image} is named by a tag, which others can move to another image"
        findings.append(finding("TG768", Severity.INFO, what))
    deployment = Deployment(
        name=request.name,
        services=services,
        digest=digest,
        repository=Path(os.path.relpath(request.repository, request.output)).as_posix(),
        storage=_storage(request, digest),
        namespace=request.namespace or request.name,
        machine=plan.machine,
        machine_vcpus=plan.vcpus,
        time_zone=plan.time_zone,
        files=repository_files(lock),
        base_image=base,
    )
    return deployment, tuple(findings)


def repository_lock(repository: Path) -> Lock:
    """The lock of a repository; its weights need not be here.

    Raises:
        InvalidInputError: TG708 no repository, TG750 it has no lock, TG704 it cannot be read.
    """
    if not repository.is_dir():
        raise InvalidInputError("TG708", "there is no such folder", where=str(repository))
    settle(repository)
    lock = read_lock(repository)
    if lock is None:
        raise InvalidInputError(
            "TG750",
            "the repository has no tritongen.lock, so that cores and threads are not known",
            where=str(repository),
            fix="Write the repository with `tritongen build MODELS`.",
        )
    return lock


def _storage(request: ExportRequest, digest: str) -> str:
    """Each build lies in a folder of its own, unless the user says otherwise."""
    uri = request.storage or f"pvc://{request.name}-models/{_DIGEST}"
    return uri.replace(_DIGEST, short(digest))


def _images(request: ExportRequest, spec: ServerSpec, digest: str) -> tuple[str, str]:
    """The image of every container, and the one that it is built on where it holds the models."""
    if holds_models(request.image):
        base = official_image(spec.release, spec.backends)
        return checked(f"{request.image}:{short(digest)}"), base
    return checked(request.image or official_image(spec.release, spec.backends)), ""


def _digest(lock: Lock) -> str:
    """Changes when configurations, weights or the server's settings change."""
    content = {
        "written": dict(lock.written),
        "weights": {name: list(model.evidence.files) for name, model in lock.models.items()},
        "environment": dict(lock.server.environment),
        "flags": list(lock.server.flags),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _unplanned(intent: Intent, name: str, lock: Lock, models: tuple[str, ...]) -> PlannedService:
    """One service with every model, its replicas from what the user says of availability."""
    business = intent.business
    least = business.min_replicas
    most = business.scaling.max_replicas or least * _MAX_REPLICAS_FACTOR
    scaling = business.scaling
    return PlannedService(
        name=name,
        models=tuple((one, *built_shares(lock, one)) for one in models),
        cores=lock.target.cores,
        memory_bytes=lock.target.memory_bytes,
        replicas=Replicas(
            least,
            max(least, most),
            start_up_s=scaling.start_up_s,
            interval_s=scaling.interval_s,
            cool_down_s=scaling.cool_down_s,
        ),
    )


def _service(
    planned: PlannedService, spec: ServerSpec, lock: Lock, intent: Intent, image: str
) -> Service:
    names = tuple(sorted(name for name, _, _ in planned.models))
    models = tuple(_model(name, lock, intent) for name in names)
    settings = _settings(planned, replace(spec, models=names), set(spec.models), image)
    goals = [model.latency_ms for model in models if model.latency_ms is not None]
    wait = planned.queue_target_us
    if wait is None:
        wait = int(min(goals) * 1000 * _QUEUE_SHARE) if goals else _QUEUE_DEFAULT_US
    return Service(
        name=planned.name,
        models=models,
        container=_container(settings, _needed(planned, lock, names, settings)),
        replicas=planned.replicas,
        queue_target_us=max(_MIN_QUEUE_US, wait),
        concurrency=requests_at_a_time(planned.concurrency, models),
        rate_per_s=planned.rate_per_s,
        endpoints=planned.endpoints,
    )


def _settled(service: Service, plan: PlannedDeployment, *, holds_models: bool) -> Service:
    """The same with its cores in the hardware threads of the planned machine."""
    cores = service.container.cores
    cpus = cores if cores is None else plan.hardware_threads(cores)
    box = replace(service.container, cpus=cpus, holds_models=holds_models)
    return replace(service, container=box)


def _model(name: str, lock: Lock, intent: Intent) -> DeployedModel:
    instances, threads = built_shares(lock, name)
    locked = lock.models.get(name)
    pipeline = intent.pipelines.get(name)
    wish = pipeline or intent.of(name)
    return DeployedModel(
        name=name,
        backend=locked.backend if locked is not None else "ensemble",
        instances=instances,
        threads=threads,
        latency_ms=wish.latency_ms,
        percentile=wish.percentile,
        peak_rate=wish.peak_rate if wish.peak_rate is not None else wish.rate,
        config_digest=lock.written.get(f"{name}/{CONFIG_FILE}", ""),
        weight_bytes=_weight_bytes(locked),
        fetched_bytes=_fetched_bytes(locked, intent.of(name)),
        answers_tokens=_answers_tokens(locked, lock),
    )


def _answers_tokens(model: LockedModel | None, lock: Lock) -> bool:
    """Whether it is a language model, or one of a set around the engine of one."""
    facts = model.facts if model is not None else None
    if facts is None:
        return False
    sets = (one.facts.template for one in lock.models.values() if one.facts is not None)
    engines = any(one is not None and one.engine is not None for one in sets)
    return facts.vllm is not None or (facts.template is not None and engines)


def _fetched_bytes(model: LockedModel | None, intent: ModelIntent) -> int:
    """Of a language model's weights, by tritongen.yaml, else by its name; 0 where not known."""
    facts = model.facts if model is not None else None
    if facts is None or intent.gpu_memory.weight_bytes is not None:
        return intent.gpu_memory.weight_bytes or 0
    engine = facts.template.engine if facts.template is not None else None
    source = facts.vllm or engine
    if source is None or source.model.startswith("/"):
        return 0  # in a folder of the server's
    size = size_of(source.model)
    return size.weight_bytes if size is not None else 0


def _weight_bytes(model: LockedModel | None) -> int:
    if model is None:
        return 0
    known = model.facts.weight_bytes if model.facts is not None else 0
    return instance_bytes(known, model.evidence.trial)


def requests_at_a_time(planned: int | None, models: tuple[DeployedModel, ...]) -> int:
    """Requests that a replica is sent at a time: by the plan, and one for every instance at least.

    Without a plan (None) two an instance, which keep it busy while answers travel.
    """
    instances = sum(model.instances for model in models)
    return max(planned, instances) if planned else max(2, 2 * instances)


def _settings(
    planned: PlannedService, spec: ServerSpec, every: set[str], image: str
) -> ContainerSettings:
    """The container as the Docker runtime starts it, with the plan's limits."""
    partly = set(spec.models) != every
    wanted = replace(
        spec,
        # The quantiles that the goals are watched by.
        flags=(*spec.flags, ("metrics-config", "summary_latencies=true")),
        model_control=ModelControl.EXPLICIT if partly else ModelControl.NONE,
        cores=planned.cores,
        memory_bytes=planned.memory_bytes or spec.memory_bytes,
    )
    # What is exported closes its APIs by itself, at each start.
    return ContainerSettings(wanted, image, server="", mounts=(), keys=ApiKeys("", ""))


def _needed(
    planned: PlannedService, lock: Lock, names: tuple[str, ...], settings: ContainerSettings
) -> int:
    """Bytes that a container will probably need: its limit, else from the trials."""
    limit = planned.memory_bytes or lock.target.memory_bytes
    if limit is not None:
        return limit
    models = [lock.models[name] for name in names if name in lock.models]
    total = settings.shared_memory_bytes + container_memory(
        (model.instances, instance_memory(model.evidence.trial)) for model in models
    )
    return math.ceil(total / _MEMORY_STEP) * _MEMORY_STEP


def _container(settings: ContainerSettings, needed: int) -> Container:
    spec = settings.spec
    caches = tuple((path.name, folder) for path, folder in spec.kept)
    health = replace(HEALTH, start_s=_FETCHING_S) if HUB in dict(caches) else HEALTH
    return Container(
        image=settings.image,
        image_entrypoint=not settings.entrypoint,
        arguments=settings.flags,
        environment=settings.environment,
        cores=settings.cpus,
        cpus=settings.cpus,
        memory_bytes=spec.memory_bytes,
        memory_request_bytes=needed,
        shared_memory_bytes=settings.shared_memory_bytes,
        gpus=spec.gpus,
        user=spec.user,
        read_only=settings.read_only,
        tmp_bytes=settings.tmp_bytes,
        ulimits=settings.ulimits,
        health=health,
        caches=caches,
        rate_limited=is_rate_limited(spec.flags),
    )
