"""Rules for autoscalers: HPA, KEDA, KServe's own."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from support.export_rules.kubernetes import Documents
from support.export_rules.quantities import quantity, seconds_of
from support.export_rules.rule_findings import finding
from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.model.findings import Finding, Severity

__all__ = ["check_scaling"]

_METRICS = {"triton_queue_us"}
# Prometheus's own interval is a minute, and a rate needs two samples.
_LEAST_WINDOW_S = 120


def check_scaling(documents: Documents, deployment: Deployment) -> Iterator[Finding]:
    """What autoscalers do wrong.

    Args:
        documents: (path, document) of every file of the export.
        deployment: what they were rendered from.
    """
    known = {service.name: service for service in deployment.services}
    scaled: dict[str, str] = {}
    for path, document in documents:
        spec = document.get("spec") or {}
        kind = document["kind"]
        where = f"{kind}/{document['metadata'].get('name')}"
        if kind == "InferenceService":
            predictor = spec.get("predictor") or {}
            yield from _bounds(
                path, where, predictor.get("minReplicas", 1), predictor.get("maxReplicas")
            )
            yield from _cpu_target(
                path, where, predictor, known.get(str(document["metadata"].get("name")))
            )
        if kind not in {"HorizontalPodAutoscaler", "ScaledObject"}:
            continue
        target = str((spec.get("scaleTargetRef") or {}).get("name"))
        if target not in known:
            message = f"{where} scales {target!r}, which is not deployed"
            yield _error("TG759", message, path, f"{where}.scaleTargetRef")
            continue
        if target in scaled:
            message = f"{where} scales {target}, and so does {scaled[target]}"
            yield _error("TG759", message, path, where)
        scaled[target] = where
        if not known[target].replicas.scaled:
            message = f"{where} scales {target}, whose number of replicas is fixed"
            yield _error("TG759", message, path, where)
        if kind == "HorizontalPodAutoscaler":
            yield from _hpa(path, where, spec, known[target])
        else:
            yield from _keda(path, where, spec, known[target])


def _error(code: str, message: str, path: str, field: str) -> Finding:
    return finding(code, Severity.ERROR, message, path=path, field=field)


def _bounds(path: str, where: str, least: object, most: object) -> Iterator[Finding]:
    if not isinstance(least, int) or not isinstance(most, int) or least < 1 or least > most:
        message = f"{where} has {least} to {most} replicas"
        fix = "At least 1, and the least not above the most: Triton takes too long to start from 0."
        yield finding("TG761", Severity.ERROR, message, fix=fix, path=path, field=where)


def _wait(path: str, where: str, value: object, service: Service) -> Iterator[Finding]:
    """A mean wait in microseconds at which replicas are added."""
    found = quantity(value)
    if found is None or found <= 0:
        yield _error("TG759", f"{where} aims at a wait of {value!r} µs", path, where)
        return
    goal = service.latency_ms
    if goal is not None and found >= goal * 1000:
        message = f"{where} adds replicas when requests wait {found:g} µs; the goal is {goal:g} ms"
        yield _error("TG759", message, path, where)


def _hpa(path: str, where: str, spec: Mapping[str, Any], service: Service) -> Iterator[Finding]:
    yield from _bounds(path, where, spec.get("minReplicas", 1), spec.get("maxReplicas"))
    metrics = spec.get("metrics") or ()
    if not metrics:
        yield _error("TG759", f"{where} has no metric", path, f"{where}.metrics")
    for metric in metrics:
        if metric.get("type") == "Pods":
            pods = metric.get("pods") or {}
            name = (pods.get("metric") or {}).get("name")
            if name not in _METRICS:
                message = f"{where} follows {name!r}, which prometheus-adapter.yaml does not give"
                yield _error("TG759", message, path, f"{where}.metrics")
            aim = pods.get("target") or {}
            if aim.get("type") != "AverageValue":
                message = f"{where} has a target of type {aim.get('type')!r} for a metric of pods"
                yield _error("TG759", message, path, f"{where}.metrics")
            yield from _wait(path, where, aim.get("averageValue"), service)
        elif metric.get("type") == "Resource":
            aim = (metric.get("resource") or {}).get("target") or {}
            yield from _utilization(path, where, aim.get("averageUtilization"), service)


def _utilization(path: str, where: str, percent: object, service: Service) -> Iterator[Finding]:
    """A share of the requested CPUs that threads must be able to reach."""
    cpus = service.container.cpus
    reachable = 100.0 if not cpus else min(100.0, 100.0 * service.total_threads / cpus)
    if not isinstance(percent, int) or not 0 < percent < reachable:
        message = f"{where} aims at {percent} % of the CPUs, {reachable:.0f} % can be reached"
        yield _error("TG759", message, path, where)


def _cpu_target(
    path: str, where: str, predictor: Mapping[str, Any], service: Service | None
) -> Iterator[Finding]:
    if service is not None and predictor.get("scaleMetric") == "cpu":
        yield from _utilization(path, where, predictor.get("scaleTarget"), service)


def _keda(path: str, where: str, spec: Mapping[str, Any], service: Service) -> Iterator[Finding]:
    yield from _bounds(path, where, spec.get("minReplicaCount"), spec.get("maxReplicaCount"))
    triggers = spec.get("triggers") or ()
    if not any(trigger.get("type") == "prometheus" for trigger in triggers):
        yield _error("TG759", f"{where} does not follow the load", path, f"{where}.triggers")
    for trigger in triggers:
        metadata = trigger.get("metadata") or {}
        for key, value in metadata.items():
            if not isinstance(value, str):
                message = f"{where} has {key}: {value!r}; KEDA takes strings only"
                yield _error("TG762", message, path, f"{where}.triggers")
        if trigger.get("type") == "cron":
            wanted = quantity(metadata.get("desiredReplicas"))
            if wanted is None or wanted > spec.get("maxReplicaCount", 0):
                message = f"{where} asks for {wanted} replicas of {spec.get('maxReplicaCount')}"
                yield _error("TG761", message, path, f"{where}.triggers")
        if trigger.get("type") == "prometheus":
            yield from _query(path, where, str(metadata.get("query")))
            if metadata.get("ignoreNullValues") != "false":
                message = f"{where} takes a silent Prometheus for an idle service"
                yield _error("TG759", message, path, f"{where}.triggers")
            if trigger.get("metricType") != "Value":
                message = f"{where} divides a mean wait by the number of replicas"
                fix = "Set metricType: Value."
                yield finding("TG759", Severity.ERROR, message, fix=fix, path=path, field=where)
            yield from _wait(path, where, metadata.get("threshold"), service)


def _query(path: str, where: str, query: str) -> Iterator[Finding]:
    if "nv_inference_" not in query:
        message = f"{where} asks Prometheus for no metric of Triton"
        yield _error("TG759", message, path, f"{where}.triggers")
    if "namespace=" not in query:
        message = f"{where} counts pods of other namespaces"
        yield _error("TG759", message, path, f"{where}.triggers")
    spans = [seconds_of(one) or 0.0 for one in re.findall(r"\[(\d+[smh])\]", query)]
    if min(spans, default=0.0) < _LEAST_WINDOW_S:
        message = f"{where} reads nothing at Prometheus's own scrape interval"
        yield _error("TG759", message, path, f"{where}.triggers")
