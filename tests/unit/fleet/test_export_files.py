"""What the exported files say: schedules, names, places of the models, quoting."""

import json
import re
from dataclasses import replace

import pytest
import yaml

from support.export_rules.quantities import cpus_of, default_of, quantity, seconds_of
from support.exports import container, deployment, faults, rendered, service
from tritongen.errors import InvalidInputError
from tritongen.fleet.export.deployment import DeployedModel, Replicas
from tritongen.fleet.export.deployment_from_repository import requests_at_a_time
from tritongen.fleet.export.export_target import quote, quote_compose
from tritongen.fleet.export.overlays import windows
from tritongen.fleet.export.targets import TARGETS
from tritongen.model.findings import Severity

WEEKDAY = tuple(4 if 8 <= hour < 18 else 2 for hour in range(24))
WEEKEND = (2,) * 48


def text_of(target: str, name: str, what=None) -> str:
    return {file.path: file.text for file in TARGETS[target].files(what or deployment())}[name]


def test_busy_hours_become_cron_windows():
    assert list(windows(Replicas(2, 6, WEEKDAY * 5 + WEEKEND))) == [
        ("0 8 * * 1-5", "0 18 * * 1-5", 4)
    ]
    assert list(windows(Replicas(1, 6))) == []


def test_days_that_differ_have_windows_of_their_own():
    late = tuple(5 if hour >= 20 else 2 for hour in range(24))
    hours = late + WEEKDAY * 4 + (3,) * 24 + (2,) * 24
    assert list(windows(Replicas(2, 6, hours))) == [
        ("0 20 * * 1", "59 23 * * 1", 5),
        *((f"0 8 * * {day}", f"0 18 * * {day}", 4) for day in (2, 3, 4, 5)),
        ("0 0 * * 6", "59 23 * * 6", 3),
    ]


def test_keda_follows_the_week_in_its_own_time_zone():
    (document,) = rendered("keda")["overlays/autoscale-keda/scaledobject.yaml"]
    load, busy = document["spec"]["triggers"]
    assert load["metadata"]["threshold"] == "3000"
    assert busy["metadata"] == {
        "timezone": "Europe/Berlin", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5",
        "desiredReplicas": "4",
    }  # fmt: skip


def test_azure_has_a_profile_for_the_weekend():
    busy = replace(service().replicas, hourly=(4,) * 120 + (2,) * 48)
    (document,) = rendered("azureml", deployment(service(replicas=busy)))["autoscale.json"]
    profiles = document["resources"][0]["properties"]["profiles"]
    assert {one["name"]: one["capacity"]["minimum"] for one in profiles} == {
        "Default": "2", "Weekdays": "4", "Weekend": "2",
    }  # fmt: skip
    schedules = [one["recurrence"]["schedule"] for one in profiles if "recurrence" in one]
    assert [schedule["days"] for schedule in schedules] == [["Monday"], ["Saturday"]]
    assert {schedule["timeZone"] for schedule in schedules} == {"W. Europe Standard Time"}


def test_a_week_in_a_time_zone_that_azure_cannot_name_is_told():
    busy = service(replicas=replace(service().replicas, hourly=(4,) * 120 + (2,) * 48))
    for zone, told in (("Pacific/Apia", ["TG762"]), ("Europe/Berlin", [])):
        what = deployment(busy, time_zone=zone)
        found = TARGETS["azureml"].findings(what)
        assert [item.code for item in found if item.severity is Severity.WARNING] == told


def test_azures_thresholds_can_be_reached_by_the_threads():
    (document,) = rendered("azureml")["autoscale.json"]
    rules = document["resources"][0]["properties"]["profiles"][0]["rules"]
    # Four threads on eight virtual CPUs reach 50 %.
    assert [rule["metricTrigger"]["threshold"] for rule in rules] == [35, 12]


def test_models_from_a_bucket_need_no_volume():
    remote = deployment(storage="s3://bucket/models")
    document = rendered("kubernetes", remote)["deployment.yaml"][0]
    pod = document["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"][0] == "--model-repository=s3://bucket/models"
    assert {volume["name"] for volume in pod["volumes"]} == {"shm", "tmp"}
    with pytest.raises(InvalidInputError, match="ftp"):
        rendered("kubernetes", deployment(storage="ftp://models"))


def test_a_claim_is_mounted_at_its_path():
    document = rendered("kubernetes")["deployment.yaml"][0]
    box = document["spec"]["template"]["spec"]["containers"][0]
    mount = next(one for one in box["volumeMounts"] if one["name"] == "models")
    assert mount == {
        "name": "models", "mountPath": "/models", "readOnly": True, "subPath": "shop",
    }  # fmt: skip


def test_swarm_names_each_content_of_a_configuration():
    (stack,) = rendered("swarm")["stack.yaml"]
    assert {key: one["name"] for key, one in stack["configs"].items() if key != "gateway"} == {
        "detect": "shop-detect-abababababab", "embed": "shop-embed-cdcdcdcdcdcd",
    }  # fmt: skip
    changed = DeployedModel("detect", "onnxruntime", 1, 2, 50.0, 99.0, 40.0, "ee" * 32)
    (other,) = rendered("swarm", deployment(service(models=(changed,))))["stack.yaml"]
    assert other["configs"]["detect"]["name"] == "shop-detect-eeeeeeeeeeee"


def test_swarm_names_survive_odd_and_equal_model_names():
    models = tuple(
        DeployedModel(name, "onnxruntime", 1, 1, config_digest="ab" * 32)
        for name in ("A.b", "a_b", "a-b", "...", "gateway")
    )
    (stack,) = rendered("swarm", deployment(service(models=models)))["stack.yaml"]
    mounted = {entry["target"]: entry["source"] for entry in stack["services"]["vision"]["configs"]}
    assert len(set(mounted.values())) == len(models)
    assert set(mounted.values()) < set(stack["configs"])
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in stack["configs"])


def test_several_services_have_ports_and_variables_of_their_own():
    several = deployment(service("vision"), service("words"))
    text = text_of("compose", "compose.yaml", several)
    assert "127.0.0.1:${VISION_HTTP_PORT:-8000}:8000" in text
    assert "127.0.0.1:${WORDS_HTTP_PORT:-8010}:8000" in text
    assert {path.partition("/")[0] for path in rendered("azureml", several)} == {"vision", "words"}


def test_gpus_are_asked_for_in_each_targets_words():
    fast = deployment(service(container=container(gpus=2)))
    (compose,) = rendered("compose", fast)["compose.yaml"]
    devices = compose["services"]["vision"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 2, "capabilities": ["gpu"]}]
    (stack,) = rendered("swarm", fast)["stack.yaml"]
    reserved = stack["services"]["vision"]["deploy"]["resources"]["reservations"]
    assert reserved["generic_resources"][0]["discrete_resource_spec"]["value"] == 2
    pod = rendered("kubernetes", fast)["deployment.yaml"][0]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_the_program_is_named_once_where_the_images_entry_point_runs_it():
    box = container(gpus=1, image_entrypoint=True)
    fast = deployment(service(container=box), storage="s3://bucket/models")
    pod = rendered("kubernetes", fast)["deployment.yaml"][0]["spec"]["template"]["spec"]
    assert "command" not in pod["containers"][0]
    assert pod["containers"][0]["args"][3:5] == [
        "tritonserver", "--model-repository=s3://bucket/models",
    ]  # fmt: skip
    (kserve,) = rendered("kserve", fast)["inferenceservice.yaml"]
    assert all(word.startswith("--") for word in kserve["spec"]["predictor"]["model"]["args"])
    dockerfile = text_of("azureml", "container/Dockerfile", fast)
    assert dockerfile.count("tritonserver ") == 1


@pytest.mark.parametrize("text", ['a "b"', "$HOME ${X} $(Y)", "#: {}", "é\n\t\\", "{{ x }}", "yes"])
def test_no_text_leaves_its_quotes(text):
    assert yaml.safe_load(quote(text)) == text
    assert json.loads(quote(text)) == text
    assert yaml.safe_load(quote_compose(text)).replace("$$", "$") == text


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("text", ["$HOME ${X:-1} $$ $(Y)", 'a "b"', "é", "yes", "1.0", ""])
def test_odd_values_of_variables_arrive_as_they_are(target, text):
    odd = deployment(service(container=container(environment=(("ODD", text),))))
    assert faults(rendered(target, odd), odd) == []


@pytest.mark.parametrize("path", ['a"b', "a\nb", "${HOME}", "a#{b}", "a'b", "a\\b", "", "a`b"])
def test_paths_that_no_format_can_hold_are_refused(path):
    with pytest.raises(InvalidInputError) as caught:
        deployment(repository=path)
    assert caught.value.code == "TG767"


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a" * 41, "1a", "a\n"])
def test_names_that_are_no_dns_labels_are_refused(name):
    with pytest.raises(InvalidInputError) as caught:
        service(name)
    assert caught.value.code == "TG752"


def test_quantities():
    assert [quantity(text) for text in ("500m", "4", "2Gi", "1k", 3, 0.5)] == [
        0.5, 4.0, 2.0**31, 1000.0, 3.0, 0.5,
    ]  # fmt: skip
    assert [quantity(text) for text in ("4x", "", "-1", True, None, "1 Gi")] == [None] * 6
    assert [seconds_of(text) for text in ("35s", "1m30s", "1h", "500", "")] == [
        35, 90, 3600, None, None,
    ]  # fmt: skip
    assert default_of("${TRITON_CPUS:-4}") == "4"
    assert [cpus_of(text) for text in ("${X:-0.5}", 2, "many")] == [0.5, 2.0, None]


def test_a_plan_of_quiet_models_still_reaches_every_instance():
    models = tuple(DeployedModel(name, "onnxruntime", 1, 1) for name in ("a", "b", "c", "d"))
    assert requests_at_a_time(3, models) == 4
    assert requests_at_a_time(9, models) == 9


def test_without_a_plan_two_requests_keep_an_instance_busy():
    assert requests_at_a_time(None, (DeployedModel("a", "onnxruntime", 3, 1),)) == 6
