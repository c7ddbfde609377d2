"""Azure ML's limits of an endpoint: several where one is not enough, and a canary in each."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.capacity import capacity_input, machine
from support.exports import deployment, faults, refused, rendered, service
from tritongen.fleet.capacity.capacity_plan import CapacityPlan, PlanFile, parse_plan, plan_text
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.fleet.catalogue import AZUREML_INSTANCES
from tritongen.fleet.export.deployment import DeployedModel, Deployment
from tritongen.fleet.export.model_files import deploy_commands
from tritongen.fleet.export.targets import TARGETS
from tritongen.model.business import Business, Cloud, Platform, Scaling
from tritongen.model.intent import ModelIntent

AZURE = machine("Standard_F4s_v2")


def planned(
    rate: float,
    ms: float = 4.0,
    goal_ms: float = 80.0,
    request_bytes: int = 0,
    scaling: Scaling | None = None,
) -> CapacityPlan:
    wishes = Business(cloud=Cloud(platform=Platform.AZUREML), scaling=scaling or Scaling())
    model = ModelIntent(rate=rate, latency_ms=goal_ms)
    given = capacity_input({"ocr": (ms, model)}, wishes, machines=[AZURE])
    if request_bytes:
        (profile,) = given.profiles.values()
        large = replace(profile, request_bytes=request_bytes)
        given = replace(given, profiles={"ocr": large})
    return plan_capacity(given, refined=1)


def told(plan: CapacityPlan) -> list[str]:
    return [item.message for item in plan.findings if item.code == "TG352"]


def test_one_endpoint_is_not_divided() -> None:
    plan = planned(400.0)
    assert plan.best is not None
    (ocr,) = plan.best.services
    assert ocr.endpoints == 1
    assert told(plan) == []
    assert "endpoints" not in plan_text(PlanFile("tool", plan, 0))


def test_more_requests_than_one_endpoint_admits_are_divided() -> None:
    plan = planned(1200.0)
    assert plan.best is not None
    (ocr,) = plan.best.services
    assert ocr.endpoints == 3
    # Each endpoint has as many replicas as the others.
    assert {count % 3 for count in (ocr.least, ocr.most, *ocr.hourly)} == {0}
    assert ocr.mean_paid * ocr.rate_per_s >= 1200.0
    (sentence,) = told(plan)
    assert "3 endpoints: 1,200/s at peak exceed the 500/s of one endpoint" in sentence
    assert "3 endpoints" in plan.best.reason
    again = parse_plan(plan_text(PlanFile("tool", plan, 0)), "plan")
    assert again.option.services[0].endpoints == 3


def test_more_bytes_than_one_endpoint_admits_are_divided() -> None:
    plan = planned(100.0, request_bytes=120_000)
    assert plan.best is not None
    assert plan.best.services[0].endpoints == 3
    assert "12 MB/s at peak exceed the 5 MB/s of one endpoint" in told(plan)[0]


def test_more_instances_than_one_endpoint_has_are_divided() -> None:
    plan = planned(450.0, ms=250.0, goal_ms=900.0)
    assert plan.best is not None
    (ocr,) = plan.best.services
    assert ocr.endpoints >= 2
    assert ocr.most / ocr.endpoints <= AZUREML_INSTANCES
    assert "instances of one endpoint" in told(plan)[0]


def test_where_the_user_allows_fewer_replicas_both_numbers_are_told() -> None:
    plan = planned(1200.0, scaling=Scaling(max_replicas=2))
    assert plan.best is None
    (closest,) = plan.options
    assert "in 3 endpoints (1,200/s at peak exceed the 500/s of one endpoint)" in closest.reason
    assert closest.reason.endswith("2 are allowed")


def test_another_platform_is_not_divided() -> None:
    wishes = Business(cloud=Cloud(platform=Platform.KUBERNETES))
    model = ModelIntent(rate=1200.0, latency_ms=80.0)
    plan = plan_capacity(capacity_input({"ocr": (4.0, model)}, wishes, machines=[AZURE]), refined=1)
    assert plan.best is not None
    assert plan.best.services[0].endpoints == 1


def busy(endpoints: int) -> Deployment:
    """900 requests a second."""
    models = (DeployedModel("detect", "onnxruntime", 1, 2, 50.0, 99.0, 900.0, "ab" * 32),)
    replicas = replace(service().replicas, least=6, most=18, hourly=(12,) * 168)
    return deployment(service(models=models, replicas=replicas, endpoints=endpoints))


def test_each_endpoint_has_a_folder_and_its_part() -> None:
    what = busy(2)
    assert refused("azureml", what) == []
    files = rendered("azureml", what)
    assert faults(files, what) == []
    assert {path.partition("/")[0] for path in files} == {"vision-1", "vision-2"}
    for name in ("vision-1", "vision-2"):
        (endpoint,) = files[f"{name}/endpoint.yml"]
        assert endpoint["name"] == name
        (made,) = files[f"{name}/deployment.yml"]
        assert (made["endpoint_name"], made["instance_count"]) == (name, 3)
        (scaled,) = files[f"{name}/autoscale.json"]
        profiles = scaled["resources"][0]["properties"]["profiles"]
        assert {one["capacity"]["maximum"] for one in profiles} == {"9"}
        assert {one["capacity"]["minimum"] for one in profiles} == {"3", "6"}


def test_the_commands_bring_up_every_endpoint() -> None:
    target = TARGETS["azureml"]
    assert [one.split(" -f ")[1] for one in deploy_commands(target, busy(2))] == [
        "vision-1/endpoint.yml", "vision-1/deployment.yml --all-traffic",
        "vision-2/endpoint.yml", "vision-2/deployment.yml --all-traffic",
    ]  # fmt: skip
    first, _ = deploy_commands(target, deployment())
    assert first == "az ml online-endpoint create -f endpoint.yml"


def test_one_endpoint_refuses_what_two_admit() -> None:
    found = refused("azureml", busy(1))
    assert {item.code for item in found} == {"TG761"}
    assert "900 requests/s at the peak; an endpoint takes 500" in found[0].message
    assert "platform: azureml" in found[0].fix


def test_other_targets_have_one_service() -> None:
    (document,) = rendered("swarm", busy(2))["stack.yaml"]
    assert set(document["services"]) == {"vision", "gateway"}
    assert document["services"]["vision"]["deploy"]["replicas"] == 18


# What `az` does with traffic and deployments, in files of a folder; it writes what it was asked.
AZ = """\
#!/bin/sh
echo "$@" >> "$STATE/asked"
case "$*" in
*"online-deployment list"*) cat "$STATE/deployments" ;;
*"online-endpoint show"*)
    name=$(echo "$*" | sed 's/.*traffic."\\([^"]*\\)".*/\\1/')
    sed -n "s/^$name=//p" "$STATE/traffic" ;;
*"online-endpoint update"*)
    echo "$*" | sed 's/.*--traffic //; s/ --output.*//' | tr ' ' '\\n' > "$STATE/traffic" ;;
*"online-deployment create"*)
    echo "$*" | sed 's/.*--name \\([^ ]*\\).*/\\1/' >> "$STATE/deployments" ;;
*"online-deployment delete"*)
    name=$(echo "$*" | sed 's/.*--name \\([^ ]*\\).*/\\1/')
    sed -i "/^$name$/d" "$STATE/deployments" ;;
esac
"""
NEW = f"build-{'ef' * 6}"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def canary(tmp_path: Path) -> Run:
    """Runs the exported script against an endpoint with one deployment, `triton`."""
    texts = {file.path: file.text for file in TARGETS["azureml"].files(deployment())}
    (tmp_path / "canary.sh").write_text(texts["canary.sh"])
    (tmp_path / "az").write_text(AZ)
    (tmp_path / "az").chmod(0o755)
    (tmp_path / "deployments").write_text("triton\n")
    (tmp_path / "traffic").write_text("triton=100\n")

    def run(*words: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", "canary.sh", *words], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "STATE": str(tmp_path), **environment},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


def traffic(folder: Path) -> dict[str, str]:
    return dict(line.split("=") for line in (folder / "traffic").read_text().split())


def test_a_new_build_gets_a_tenth_and_then_everything(canary: Run, tmp_path: Path) -> None:
    assert canary("begin")[0] == 0
    assert traffic(tmp_path) == {"triton": "90", NEW: "10"}
    assert "-f deployment.yml --name " + NEW in (tmp_path / "asked").read_text()
    status, said = canary("clean")
    assert status == 2
    assert "finish or go back first" in said
    assert canary("finish")[0] == 0
    assert traffic(tmp_path) == {"triton": "0", NEW: "100"}
    assert canary("clean") == (0, "deleted triton\n")
    assert (tmp_path / "deployments").read_text().split() == [NEW]


def test_a_new_build_is_taken_back(canary: Run, tmp_path: Path) -> None:
    assert canary("begin", FILE="deployment-container.yml")[0] == 0
    assert "-f deployment-container.yml" in (tmp_path / "asked").read_text()
    assert canary("back")[0] == 0
    assert traffic(tmp_path) == {"triton": "100", NEW: "0"}
    assert canary("clean") == (0, f"deleted {NEW}\n")
    assert (tmp_path / "deployments").read_text().split() == ["triton"]


def test_it_is_taken_back_after_it_got_everything(canary: Run, tmp_path: Path) -> None:
    for step in ("begin", "finish", "back"):
        assert canary(step)[0] == 0
    assert traffic(tmp_path) == {"triton": "100", NEW: "0"}


def test_of_several_others_one_must_be_named(canary: Run, tmp_path: Path) -> None:
    (tmp_path / "deployments").write_text("triton\ncontainer\n")
    status, said = canary("begin")
    assert status == 2
    assert "there are triton and container" in said
    assert traffic(tmp_path) == {"triton": "100"}
    assert canary("begin", OLD="container")[0] == 0
    assert traffic(tmp_path) == {"container": "90", NEW: "10"}


def test_without_another_one_there_is_no_canary(canary: Run, tmp_path: Path) -> None:
    (tmp_path / "deployments").write_text(f"{NEW}\n")
    status, said = canary("back")
    assert status == 2
    assert f"no deployment beside {NEW}" in said
    assert canary("deploy")[0] == 2
    assert canary()[0] == 2
