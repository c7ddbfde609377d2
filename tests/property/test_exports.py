"""Whatever is deployed: files can be read back, and break no rule that was not told before."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from support.export_rules.documents import check_documents
from support.exports import container, deployment, faults, rendered, service
from tritongen.fleet.export.deployment import DeployedModel, Replicas
from tritongen.fleet.export.targets import TARGETS

NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True).filter(lambda n: n.strip("."))
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
VARIABLES = st.from_regex(r"[A-Z_]{1,12}", fullmatch=True).filter(
    lambda name: name != "WORKER_COUNT"
)
SERVICES = st.from_regex(r"[a-z]([a-z0-9-]{1,26}[a-z0-9])", fullmatch=True)


@st.composite
def models(draw):
    """Models within 16 threads; latencies beyond the wait at which replicas are added."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.lower))
    return tuple(
        DeployedModel(
            name,
            draw(st.sampled_from(["onnxruntime", "python", "ensemble"])),
            draw(st.integers(1, 2)),
            draw(st.integers(1, 2)),
            draw(st.none() | st.floats(4.0, 1000.0)),
            draw(st.sampled_from([50.0, 95.0, 99.0, 99.9])),
            None,
            draw(st.sampled_from(["", "ab" * 32])),
        )
        for name in names
    )


@st.composite
def deployments(draw):
    least = draw(st.integers(1, 5))
    most = draw(st.integers(least, 50))
    hours = draw(
        st.just(()) | st.lists(st.integers(least, most), min_size=168, max_size=168).map(tuple)
    )
    made = draw(models())
    cores = sum(model.instances * model.threads for model in made)
    return deployment(
        service(
            draw(SERVICES),
            models=made,
            container=container(
                cores=cores,
                cpus=draw(st.integers(cores, 2 * cores - 1)),
                environment=tuple(draw(st.dictionaries(VARIABLES, VALUES, max_size=4)).items()),
                gpus=draw(st.integers(0, 2)),
            ),
            replicas=Replicas(least, most, hours, draw(st.floats(0.0, 290.0))),
            concurrency=draw(st.integers(16, 64)),
        ),
        machine_vcpus=2 * cores,
        time_zone=draw(st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo", "Pacific/Apia"])),
    )


@st.composite
def stretched(draw):
    """Deployments of which targets refuse something."""
    what = draw(deployments())
    (one,) = what.services
    replicas = replace(
        one.replicas,
        most=draw(st.integers(one.replicas.most, 80)),
        start_up_s=draw(st.floats(0.0, 900.0)),
    )
    models = tuple(
        replace(
            model,
            latency_ms=draw(st.none() | st.floats(0.05, 4e5)),
            peak_rate=draw(st.none() | st.floats(0.0, 900.0)),
        )
        for model in one.models
    )
    cores = draw(st.integers(one.total_threads, 64))
    changed = replace(
        one,
        models=models,
        replicas=replicas,
        queue_target_us=draw(st.integers(100, 10**6)),
        rate_per_s=draw(st.none() | st.floats(0.1, 900.0)),
        endpoints=draw(st.integers(1, 3)),
        container=replace(one.container, cores=cores, cpus=draw(st.integers(cores, 128))),
    )
    return replace(
        what,
        services=(changed,),
        storage=draw(st.sampled_from(["pvc://models", "s3://models", "gs://models"])),
        machine_vcpus=draw(st.none() | st.integers(1, 128)),
    )


@settings(max_examples=25, deadline=None)
@given(stretched())
def test_targets_refuse_what_their_files_would_do_wrong(what):
    for target, one in TARGETS.items():
        found = list(one.findings(what))
        assert found == list(check_documents(rendered(target, what), what))


@settings(max_examples=25, deadline=None)
@given(deployments())
def test_every_deployment_can_be_written_for_every_target(what):
    for target in TARGETS:
        assert faults(rendered(target, what), what) == []
