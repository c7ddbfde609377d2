"""Whatever is deployed: every file can be read back, and no rule is broken."""

from hypothesis import given, settings
from hypothesis import strategies as st

from support.exports import container, deployment, faults, rendered, service
from tritongen.fleet.export.deployment import Replicas, ServedModel
from tritongen.fleet.export.targets import TARGETS

NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True).filter(lambda n: n.strip("."))
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
VARIABLES = st.from_regex(r"[A-Z_]{1,12}", fullmatch=True).filter(
    lambda name: name not in {"WORKER_COUNT", "POD_UID"}
)
SERVICES = st.from_regex(r"[a-z]([a-z0-9-]{1,26}[a-z0-9])", fullmatch=True)


@st.composite
def models(draw):
    """Models within 16 threads; latencies beyond the wait at which replicas are added."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique_by=str.lower))
    return tuple(
        ServedModel(
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
                cpus=cores,
                environment=tuple(draw(st.dictionaries(VARIABLES, VALUES, max_size=4)).items()),
                gpus=draw(st.integers(0, 2)),
            ),
            replicas=Replicas(least, most, hours, draw(st.floats(0.0, 290.0))),
            concurrency=draw(st.integers(16, 64)),
        ),
        machine_vcpus=2 * cores,
        time_zone=draw(st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo", "Pacific/Apia"])),
    )


@settings(max_examples=25, deadline=None)
@given(deployments())
def test_every_deployment_can_be_written_for_every_target(what):
    for target in TARGETS:
        assert faults(rendered(target, what), what) == []
