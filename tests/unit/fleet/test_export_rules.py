"""Rules for exported files: clean exports pass, every planted error is found under its code.

What of them depends on what is deployed, not on the templates, the targets tell by themselves.
"""

from dataclasses import replace
from typing import Any

import pytest

from support.exports import (
    DROP,
    deployment,
    faults,
    language_model,
    planted,
    refused,
    rendered,
    service,
)
from tritongen.fleet.export.deployment import Replicas
from tritongen.fleet.export.targets import TARGETS
from tritongen.model.findings import Finding, Severity
from tritongen.model.kept_folders import HUB_CACHE

HPA = "overlays/autoscale-hpa/hpa.yaml"
KEDA = "overlays/autoscale-keda/scaledobject.yaml"
BOX = "deployment.yaml#0.spec.template.spec.containers.0"
POD = "deployment.yaml#0.spec.template.spec"
KSERVE = "inferenceservice.yaml#0.spec.predictor"
STACK = "stack.yaml#0.services.vision"
COMPOSE = "compose.yaml#0.services.vision"
AZURE = "deployment.yml#0"
RULES = "autoscale.json#0.resources.0.properties.profiles.1"

PLANTED: tuple[tuple[str, str, Any, str], ...] = (
    # Docker
    ("compose", f"{COMPOSE}.cpus", "3", "TG757"),
    ("compose", f"{COMPOSE}.cpus", DROP, "TG757"),
    ("compose", f"{COMPOSE}.cpus", "${TRITON_CPUS:-0}", "TG761"),
    ("compose", f"{COMPOSE}.environment.OMP_NUM_THREADS", "8", "TG764"),
    ("compose", f"{COMPOSE}.environment.ORT_DISABLE_TELEMETRY", DROP, "TG764"),
    ("compose", f"{COMPOSE}.shm_size", 32 << 20, "TG765"),
    ("compose", f"{COMPOSE}.shm_size", DROP, "TG765"),
    ("compose", f"{COMPOSE}.stop_grace_period", "10s", "TG766"),
    ("compose", f"{COMPOSE}.healthcheck.test", ["CMD", "true"], "TG758"),
    ("compose", f"{COMPOSE}.healthcheck.timeout", "1m30s", "TG758"),
    ("compose", f"{COMPOSE}.volumes.0.read_only", False, "TG756"),
    ("compose", "compose.yaml#0.services.prometheus.volumes.1.source", "gone", "TG756"),
    ("swarm", f"{STACK}.deploy.update_config.order", "stop-first", "TG766"),
    ("swarm", f"{STACK}.deploy.update_config.parallelism", 0, "TG766"),
    ("swarm", f"{STACK}.deploy.update_config.parallelism", 6, "TG766"),
    ("swarm", f"{STACK}.deploy.replicas", 0, "TG761"),
    ("swarm", f"{STACK}.deploy.resources.limits.cpus", "2", "TG757"),
    ("swarm", f"{STACK}.volumes.1.tmpfs.size", 1 << 20, "TG765"),
    # Kubernetes
    (
        "kubernetes",
        "deployment.yaml#0.spec.selector.matchLabels.[app.kubernetes.io/name]",
        "x",
        "TG753",
    ),
    ("kubernetes", "deployment.yaml#1.spec.selector.[app.kubernetes.io/instance]", "x", "TG753"),
    (
        "kubernetes",
        "poddisruptionbudget.yaml#0.spec.selector.matchLabels.[app.kubernetes.io/name]",
        "x",
        "TG753",
    ),
    ("kubernetes", f"{BOX}.resources.limits.cpu", "4x", "TG754"),
    ("kubernetes", f"{BOX}.resources.requests.memory", "3000Mi", "TG754"),
    ("kubernetes", f"{POD}.volumes.2.emptyDir.sizeLimit", "a lot", "TG754"),
    ("kubernetes", f"{BOX}.ports.0.name", "a-name-that-is-too-long", "TG755"),
    ("kubernetes", f"{BOX}.ports.0.containerPort", 70000, "TG755"),
    ("kubernetes", "deployment.yaml#1.spec.ports.0.targetPort", "https", "TG755"),
    ("kubernetes", f"{BOX}.volumeMounts.0.name", "weights", "TG756"),
    ("kubernetes", f"{BOX}.resources.requests.cpu", "2", "TG757"),
    ("kubernetes", f"{BOX}.resources.limits.cpu", "2", "TG757"),
    ("kubernetes", f"{BOX}.livenessProbe.httpGet.path", "/v2/health/ready", "TG758"),
    ("kubernetes", f"{BOX}.readinessProbe.httpGet.path", "/healthz", "TG758"),
    ("kubernetes", f"{BOX}.startupProbe.httpGet.port", "grpc", "TG758"),
    ("kubernetes", f"{BOX}.startupProbe.failureThreshold", 3, "TG758"),
    ("kubernetes", f"{BOX}.livenessProbe.timeoutSeconds", 60, "TG758"),
    ("kubernetes", f"{BOX}.startupProbe", DROP, "TG758"),
    ("kubernetes", f"{BOX}.env.0.value", "16", "TG764"),
    ("kubernetes", f"{BOX}.command.2", "exec tritonserver", "TG764"),
    ("kubernetes", f"{BOX}.startupProbe.periodSeconds", 10, "TG758"),
    ("kubernetes", f"{BOX}.args.2", "--grpc-max-connection-age=30000", "TG766"),
    ("kubernetes", f"{BOX}.args.2", DROP, "TG766"),
    ("kubernetes", f"{BOX}.lifecycle.preStop.exec.command.1", "5", "TG766"),
    ("kubernetes", f"{POD}.terminationGracePeriodSeconds", 40, "TG766"),
    ("kubernetes", f"{POD}.serviceAccountName", DROP, "TG762"),
    ("kubernetes", "poddisruptionbudget.yaml#0.spec.unhealthyPodEvictionPolicy", DROP, "TG761"),
    ("kubernetes", f"{POD}.volumes.2.emptyDir.medium", DROP, "TG765"),
    ("kubernetes", f"{POD}.volumes.2.emptyDir.sizeLimit", "16Mi", "TG765"),
    ("kubernetes", f"{POD}.terminationGracePeriodSeconds", 30, "TG766"),
    ("kubernetes", f"{BOX}.lifecycle", DROP, "TG766"),
    ("kubernetes", f"{POD}.initContainers.0.command.2", "true", "TG756"),
    ("kubernetes", f"{POD}.initContainers.0.volumeMounts", [], "TG756"),
    ("kubernetes", "deployment.yaml#0.spec.strategy.rollingUpdate.maxUnavailable", 1, "TG766"),
    ("kubernetes", "poddisruptionbudget.yaml#0.spec.maxUnavailable", 0, "TG761"),
    ("kubernetes", f"{HPA}#0.spec.minReplicas", 7, "TG761"),
    ("kubernetes", f"{HPA}#0.spec.minReplicas", 0, "TG761"),
    ("kubernetes", f"{HPA}#0.spec.scaleTargetRef.name", "other", "TG759"),
    ("kubernetes", f"{HPA}#0.spec.metrics.0.pods.metric.name", "queue", "TG759"),
    ("kubernetes", f"{HPA}#0.spec.metrics.0.pods.target.type", "Value", "TG759"),
    ("kubernetes", f"{HPA}#0.spec.metrics.0.pods.target.averageValue", "60k", "TG759"),
    ("kubernetes", f"{HPA}#0.spec.metrics.0.pods.target.averageValue", "-1", "TG759"),
    ("kubernetes", f"{HPA}#0.spec.metrics", [], "TG759"),
    (
        "kubernetes",
        f"{HPA}#0.spec.metrics.0",
        {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 100}}},
        "TG759",
    ),
    # KEDA
    ("keda", f"{KEDA}#0.spec.triggers.0.metadata.threshold", 3000, "TG762"),
    ("keda", f"{KEDA}#0.spec.triggers.0.metadata.threshold", "0", "TG759"),
    ("keda", f"{KEDA}#0.spec.triggers.0.metadata.query", "up", "TG759"),
    (
        "keda",
        f"{KEDA}#0.spec.triggers.0.metadata.query",
        'rate(nv_inference_queue_duration_us{namespace="shop"}[1m])',
        "TG759",
    ),
    (
        "keda",
        f"{KEDA}#0.spec.triggers.0.metadata.query",
        "rate(nv_inference_queue_duration_us[3m])",
        "TG759",
    ),
    ("keda", f"{KEDA}#0.spec.triggers.0.metadata.ignoreNullValues", DROP, "TG759"),
    ("keda", f"{KEDA}#0.spec.triggers.0.metricType", "AverageValue", "TG759"),
    ("keda", f"{KEDA}#0.spec.triggers.1.metadata.desiredReplicas", "9", "TG761"),
    ("keda", f"{KEDA}#0.spec.triggers.0", DROP, "TG759"),
    ("keda", f"{KEDA}#0.spec.minReplicaCount", 0, "TG761"),
    ("keda", f"{KEDA}#0.spec.scaleTargetRef.name", "other", "TG759"),
    # KServe
    ("kserve", f"{KSERVE}.maxReplicas", 1, "TG761"),
    ("kserve", f"{KSERVE}.scaleTarget", 100, "TG759"),
    ("kserve", f"{KSERVE}.containerConcurrency", 1, "TG763"),
    ("kserve", f"{KSERVE}.model.resources.limits", {}, "TG757"),
    ("kserve", f"{KSERVE}.model.args.0", "--http-port=8000", "TG762"),
    ("kserve", f"{KSERVE}.model.storageUri", "models/", "TG762"),
    ("kserve", f"{KSERVE}.model.livenessProbe.httpGet.port", 8000, "TG758"),
    ("kserve", f"{KSERVE}.model.volumeMounts.0.name", "gone", "TG756"),
    ("kserve", f"{KSERVE}.terminationGracePeriodSeconds", 20, "TG766"),
    ("kserve", f"{KSERVE}.model.startupProbe.periodSeconds", 10, "TG758"),
    ("kserve", f"{KSERVE}.model.lifecycle", DROP, "TG766"),
    ("kserve", f"{KSERVE}.model.args.1", DROP, "TG766"),
    ("kserve", f"{KSERVE}.model.command.2", "exec tritonserver", "TG764"),
    ("kserve", f"{KSERVE}.securityContext", DROP, "TG762"),
    ("kserve", f"{KSERVE}.securityContext.seccompProfile", DROP, "TG762"),
    # Azure ML
    ("azureml", "endpoint.yml#0.name", "a", "TG752"),
    ("azureml", "endpoint.yml#0.auth_mode", "none", "TG762"),
    ("azureml", f"{AZURE}.endpoint_name", "other", "TG753"),
    ("azureml", f"{AZURE}.instance_type", "Standard_D4s_v5", "TG760"),
    ("azureml", f"{AZURE}.instance_type", "Standard_NC6s_v3", "TG760"),
    ("azureml", f"{AZURE}.instance_count", -1, "TG761"),
    ("azureml", f"{AZURE}.instance_count", 51, "TG761"),
    ("azureml", f"{AZURE}.request_settings.request_timeout_ms", 200_000, "TG761"),
    ("azureml", f"{AZURE}.request_settings.request_timeout_ms", 10, "TG761"),
    ("azureml", f"{AZURE}.request_settings.max_concurrent_requests_per_instance", 1, "TG763"),
    ("azureml", f"{AZURE}.request_settings", {}, "TG763"),
    ("azureml", f"{AZURE}.environment_variables.WORKER_COUNT", "4", "TG762"),
    ("azureml", f"{AZURE}.environment_variables.OMP_NUM_THREADS", "64", "TG764"),
    ("azureml", f"{AZURE}.liveness_probe.failure_threshold", 1, "TG758"),
    ("azureml", f"{AZURE}.readiness_probe.timeout", 60, "TG758"),
    ("azureml", f"{AZURE}.readiness_probe.period", 10, "TG758"),
    ("azureml", f"{AZURE}.model.type", "custom_model", "TG762"),
    ("azureml", "deployment-container.yml#0.model_mount_path", "models", "TG756"),
    (
        "azureml",
        "deployment-container.yml#0.environment.inference_config.liveness_route.path",
        "/",
        "TG758",
    ),
    (
        "azureml",
        "deployment-container.yml#0.environment.inference_config.scoring_route.port",
        5001,
        "TG755",
    ),
    # The rule of a public sample, whose scale-in increases.
    ("azureml", f"{RULES}.rules.1.scaleAction.direction", "Increase", "TG759"),
    ("azureml", f"{RULES}.rules.0.metricTrigger.threshold", 70, "TG759"),
    ("azureml", f"{RULES}.rules.1.metricTrigger.threshold", 40, "TG759"),
    ("azureml", f"{RULES}.rules", [], "TG759"),
    ("azureml", f"{RULES}.capacity.minimum", "7", "TG761"),
    ("azureml", f"{RULES}.capacity.maximum", "60", "TG761"),
    ("azureml", f"{RULES}.capacity.default", DROP, "TG761"),
)


LANGUAGE = language_model()
CLUSTERS = ("kubernetes", "keda", "kserve")
LANGUAGE_PLANTED: tuple[tuple[str, str, Any, str], ...] = (
    ("compose", f"{COMPOSE}.volumes.1", DROP, "TG756"),
    ("compose", f"{COMPOSE}-cache.cap_add", [], "TG756"),
    ("compose", f"{COMPOSE}-cache.entrypoint.1", "0:0", "TG756"),
    ("compose", f"{COMPOSE}.ulimits.memlock", DROP, "TG764"),
    ("compose", f"{COMPOSE}.shm_size", 64 << 20, "TG765"),
    ("compose", f"{COMPOSE}.deploy.resources.reservations.devices.0.count", 1, "TG761"),
    ("compose", "compose.yaml#0.volumes.vision-hub", DROP, "TG756"),
    ("swarm", f"{STACK}.volumes.3", DROP, "TG756"),
    ("swarm", f"{STACK}-cache", {}, "TG756"),
    ("swarm", f"{STACK}.deploy.resources.reservations.generic_resources", [], "TG761"),
    ("swarm", f"{STACK}.ulimits.memlock", 64, "TG764"),
    ("kubernetes", f"{BOX}.volumeMounts.3", DROP, "TG756"),
    ("kubernetes", f"{BOX}.resources.limits.[nvidia.com/gpu]", DROP, "TG761"),
    ("kubernetes", f"{BOX}.startupProbe.failureThreshold", 300, "TG758"),
    ("kserve", f"{KSERVE}.model.resources.limits.[nvidia.com/gpu]", "1", "TG761"),
    ("kserve", f"{KSERVE}.model.startupProbe.failureThreshold", 300, "TG758"),
)


@pytest.mark.parametrize("target", ["compose", "swarm", *CLUSTERS])
def test_a_language_model_keeps_what_it_has_fetched(target):
    assert faults(rendered(target, LANGUAGE), LANGUAGE) == []


@pytest.mark.parametrize(
    ("target", "path", "value", "code"),
    LANGUAGE_PLANTED,
    ids=[f"{path}={'gone' if value is DROP else value}" for _, path, value, _ in LANGUAGE_PLANTED],
)
def test_planted_errors_of_language_models_are_found(target, path, value, code):
    found = faults(planted(rendered(target, LANGUAGE), path, value), LANGUAGE)
    assert code in {item.code for item in found}


@pytest.mark.parametrize("target", ["compose", "swarm", *CLUSTERS])
def test_a_server_that_came_before_its_cache_ends_and_is_started_again(target):
    texts = [file.text for file in TARGETS[target].files(LANGUAGE)]
    assert any(f"test -w {HUB_CACHE} || " in text for text in texts)
    assert not any("test -w" in file.text for file in TARGETS["azureml"].files(LANGUAGE))


def test_a_claim_holds_the_cache_of_all_pods():
    for target in CLUSTERS:
        files = rendered(target, LANGUAGE)
        (claim,) = files["cache.yaml"]
        assert claim["spec"]["resources"]["requests"]["storage"] == "120Gi"
        assert "cache.yaml" in files["kustomization.yaml"][0]["resources"]
        assert "cache.yaml" not in rendered(target)


def test_with_gpus_kserve_keeps_a_fixed_number():
    assert refused("kserve", LANGUAGE) == []
    (served,) = rendered("kserve", LANGUAGE)["inferenceservice.yaml"]
    predictor = served["spec"]["predictor"]
    assert predictor["minReplicas"] == predictor["maxReplicas"] == 6
    assert "scaleMetric" not in predictor


def test_a_token_of_the_hub_is_nowhere_written_down():
    (compose,) = rendered("compose", LANGUAGE)["compose.yaml"]
    assert "${HF_TOKEN:-}" in compose["services"]["vision"]["environment"].values()
    pod = rendered("kubernetes", LANGUAGE)["deployment.yaml"][0]["spec"]["template"]["spec"]
    (token,) = [one for one in pod["containers"][0]["env"] if one["name"] == "HF_TOKEN"]
    reference = token["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "shop-hub", "key": "token", "optional": True}


@pytest.mark.parametrize("target", TARGETS)
def test_clean_exports_have_no_faults(target):
    assert faults(rendered(target)) == []


@pytest.mark.parametrize("target", TARGETS)
def test_several_services_have_no_faults(target):
    several = deployment(service("vision"), service("words"))
    assert faults(rendered(target, several), several) == []


@pytest.mark.parametrize(
    ("target", "path", "value", "code"),
    PLANTED,
    ids=[f"{path}={'gone' if value is DROP else value}" for _, path, value, _ in PLANTED],
)
def test_planted_errors_are_found(target, path, value, code):
    found = faults(planted(rendered(target), path, value))
    assert code in {item.code for item in found}
    assert all(item.fix and item.location.path for item in found)


def test_a_fixed_number_of_replicas_has_no_autoscaler():
    fixed = deployment(service(replicas=replace(REPLICAS, least=2, most=2, hourly=())))
    for target, file in (("kubernetes", HPA), ("keda", KEDA)):
        files = rendered(target, fixed)
        assert file not in files
        assert "components" not in files["kustomization.yaml"][0]
        assert files["kustomization.yaml"][0]["resources"] == [
            "namespace.yaml", "deployment.yaml", "networkpolicy.yaml", "poddisruptionbudget.yaml",
            "claim.yaml",
        ]  # fmt: skip
        assert files["deployment.yaml"][0]["spec"]["replicas"] == 2
        scaler = {"scaler.yaml": rendered(target)[file]}
        assert {item.code for item in faults(files | scaler, fixed)} == {"TG759"}


def test_the_adapter_finds_prometheus_and_leaves_the_rules_of_others_alone():
    (values,) = rendered("kubernetes")["overlays/autoscale-hpa/prometheus-adapter.yaml"]
    assert values["prometheus"]["url"].startswith("http://")
    assert set(values["rules"]) == {"custom"}
    (rule,) = values["rules"]["custom"]
    assert "[3m]" in rule["metricsQuery"]
    assert "[1m]" not in rule["metricsQuery"]


def test_a_repository_of_an_object_store_has_room_and_an_account_that_reads_it():
    heavy = service(models=(replace(ONE, weight_bytes=3 << 30),))
    what = deployment(heavy, storage="s3://bucket/shop")
    files = rendered("kubernetes", what)
    assert faults(files, what) == []
    volumes = files["deployment.yaml"][0]["spec"]["template"]["spec"]["volumes"]
    assert volumes[-1] == {"name": "tmp", "emptyDir": {"sizeLimit": f"{3 * 1024 + 64}Mi"}}
    for path, value, code in (
        (f"{POD}.volumes.1.emptyDir.sizeLimit", "64Mi", "TG754"), (f"{BOX}.envFrom", DROP, "TG762"),
    ):  # fmt: skip
        assert {item.code for item in faults(planted(files, path, value), what)} == {code}
    account = files["namespace.yaml"][1]
    assert account["kind"] == "ServiceAccount"
    assert account["automountServiceAccountToken"] is False
    pod = files["deployment.yaml"][0]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_two_autoscalers_of_one_deployment_fight():
    files = rendered("keda") | {
        "hpa.yaml": rendered("kubernetes")["overlays/autoscale-hpa/hpa.yaml"]
    }
    assert {item.code for item in faults(files)} == {"TG759"}


def test_rates_beyond_azures_limits():
    busy = deployment(service(models=(rate(600.0),)))
    assert {item.code for item in refused("azureml", busy)} == {"TG761"}


@pytest.mark.parametrize("measured", [70.0, None])
def test_rates_beyond_the_most_instances(measured):
    slow = deployment(service(models=(rate(450.0, latency_ms=400.0),), rate_per_s=measured))
    assert {item.code for item in refused("azureml", slow)} == {"TG761"}
    enough = deployment(service(models=(rate(350.0, latency_ms=80.0),), rate_per_s=measured))
    assert refused("azureml", enough) == []


def test_what_a_deployment_alone_lacks_is_told_once_a_file():
    two = deployment(service(replicas=replace(service().replicas, least=2)))
    told = {(item.code, item.severity) for item in TARGETS["azureml"].findings(two)}
    assert told == {("TG761", Severity.INFO)}
    weekly = service(replicas=Replicas(3, 6, (4,) * 120 + (3,) * 48, planned=True))
    for zone, codes in (("Europe/Berlin", set()), ("Asia/Tbilisi", {"TG762"})):
        found = TARGETS["azureml"].findings(deployment(weekly, time_zone=zone))
        assert {item.code for item in found} == codes


ONE = service().models[0]
REPLICAS = service().replicas
IDLE = service(models=(replace(ONE, instances=1, threads=1),))
REFUSED = {
    "a name that is too short": ("azureml", deployment(service("ab")), "TG752"),
    "a name that is too long": ("azureml", deployment(service("a" * 33)), "TG752"),
    "too many instances": (
        "azureml", deployment(service(replicas=replace(REPLICAS, least=51, most=60))), "TG761"),
    "too many instances at the peak": (
        "azureml", deployment(service(replicas=replace(REPLICAS, most=51))), "TG761"),
    "a goal beyond Azure's longest request": (
        "azureml", deployment(service(models=(replace(ONE, latency_ms=200e3),))), "TG761"),
    "a start that outlasts the probes": (
        "azureml", deployment(service(replicas=replace(REPLICAS, start_up_s=311.0))), "TG758"),
    "threads that no threshold can tell from idle": (
        "azureml", deployment(IDLE, machine_vcpus=96), "TG759"),
    "threads that never reach KServe's target": ("kserve", deployment(IDLE), "TG759"),
    "a storage that KServe does not read": ("kserve", deployment(storage="models"), "TG762"),
    "a wait beyond the goal": ("kubernetes", deployment(service(queue_target_us=50_000)), "TG759"),
    "a wait beyond the goal under KEDA": (
        "keda", deployment(service(queue_target_us=50_000)), "TG759"),
}  # fmt: skip


@pytest.mark.parametrize(("target", "what", "code"), REFUSED.values(), ids=REFUSED)
def test_what_a_target_refuses_is_told_before_anything_is_written(target, what, code):
    found = refused(target, what)
    assert {item.code for item in found} == {code}
    assert all(item.fix and item.location.path for item in found)
    # The files would be wrong in the same ways.
    assert {told(item) for item in found} == {told(i) for i in faults(rendered(target, what), what)}


def told(item: Finding) -> tuple[str, ...]:
    return item.code, item.message, item.fix, item.location.path, item.location.field


def rate(peak: float, latency_ms: float = 50.0):
    return replace(service().models[0], peak_rate=peak, latency_ms=latency_ms)
