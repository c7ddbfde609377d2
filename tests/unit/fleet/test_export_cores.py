"""Physical cores, hardware threads and the node's own share."""

import pytest

from support.exports import container, deployment, rendered, service
from tritongen.fleet.export.planned_deployment import PlannedDeployment
from tritongen.fleet.export.targets import TARGETS
from tritongen.model.findings import Severity


@pytest.mark.parametrize(
    ("cores", "machine", "vcpus", "expected"),
    [
        (4, 8, 16, 8),  # half of a machine with two threads a core
        (8, 8, 16, 14),  # all of it: a core is the node's
        (1, 1, 2, 1),  # but never fewer CPUs than cores
        (4, 4, 4, 4),
        (3, 4, 4, 3),
        (4, None, None, 4),
    ],
)
def test_cores_in_the_hardware_threads_of_a_machine(cores, machine, vcpus, expected):
    plan = PlannedDeployment(machine_cores=machine, vcpus=vcpus)
    assert plan.hardware_threads(cores) == expected


@pytest.mark.parametrize("target", ["compose", "swarm", "kubernetes", "keda", "kserve"])
def test_every_target_has_the_same_number(target):
    what = deployment(service(container=container(cores=4, cpus=6)))
    text = "".join(file.text for file in TARGETS[target].files(what))
    assert "4 threads of 4 cores, 6 hardware threads" in text
    if target in {"compose", "swarm"}:
        assert "${TRITON_CPUS:-6}" in text
    else:
        # The init step asks for as much as the server, so that the pod keeps its class.
        assert text.count('"cpu": "6"') == (2 if target == "kserve" else 4)


def test_kserves_share_of_the_cpus_is_one_of_the_cores():
    def share(cpus: int) -> int:
        what = deployment(service(container=container(cores=4, cpus=cpus)))
        (document,) = rendered("kserve", what)["inferenceservice.yaml"]
        return document["spec"]["predictor"]["scaleTarget"]

    assert (share(4), share(8)) == (60, 30)


@pytest.mark.parametrize("target", ["kubernetes", "keda", "kserve"])
def test_a_pod_that_asks_for_a_whole_node_is_told(target):
    for cpus, told in ((7, []), (8, ["TG761"])):
        what = deployment(service(container=container(cpus=cpus)), machine_vcpus=8)
        found = [one for one in TARGETS[target].findings(what) if one.severity is Severity.WARNING]
        assert [one.code for one in found] == told
