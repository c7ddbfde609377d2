"""Counters of a live server: from its statistics, its metrics page, or a Prometheus's history."""

import ssl
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from tritongen.errors import EnvironmentProblem, InvalidInputError, describe_error
from tritongen.fleet.observe.model_counters import (
    CounterReading,
    ModelCounters,
    Observed,
    merged,
    observed,
)
from tritongen.fleet.traffic.recordings import samples_of
from tritongen.triton.address import shown_address
from tritongen.triton.http_channel import ForeignAnswerError, HttpChannel, read_json
from tritongen.triton.metrics import metric_samples
from tritongen.triton.statistics import model_statistics

# Metric of Triton → field of `ModelCounters`; several add up in one field.
METRICS: Mapping[str, str] = {
    "nv_inference_request_success": "requests",
    "nv_inference_request_failure": "failures",
    "nv_inference_count": "inferences",
    "nv_inference_exec_count": "executions",
    "nv_inference_request_duration_us": "request_us",
    "nv_inference_queue_duration_us": "queue_us",
    "nv_inference_compute_input_duration_us": "compute_us",
    "nv_inference_compute_infer_duration_us": "compute_us",
    "nv_inference_compute_output_duration_us": "compute_us",
}
# Prometheus answers a range query with at most 11,000 points a series.
_MAX_POINTS = 10_000
# Of one server, or history. Chosen: their readings take some 150 MB.
MAX_MODELS = 10_000
_TIMEOUT_S = 30.0


def counters_of_metrics(text: str) -> dict[str, ModelCounters]:
    """Counters by model from the text of a metrics page; empty when it is none of Triton's."""
    sums: dict[str, dict[str, float]] = {}
    for sample in metric_samples(text):
        field = METRICS.get(sample.name)
        model = sample.label("model") if field is not None else ""
        if field is not None and model:
            known = sums.setdefault(model, {})
            known[field] = known.get(field, 0.0) + sample.value
    return {model: ModelCounters(**values) for model, values in sums.items()}


def counters_of_statistics(items: Iterable[Mapping[str, Any]]) -> dict[str, ModelCounters]:
    """Counters by model from the answer of the statistics extension."""
    versions: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        versions.setdefault(str(item.get("name", "")), []).append(item)
    result = {}
    for model, stats in versions.items():
        one = model_statistics(stats)
        compute = one.compute_input_ns + one.compute_infer_ns + one.compute_output_ns
        result[model] = ModelCounters(
            requests=one.requests,
            failures=one.failures,
            inferences=one.inferences,
            executions=one.executions,
            request_us=one.request_ns / 1e3,
            queue_us=one.queue_ns / 1e3,
            compute_us=compute / 1e3,
            executed_us=one.executed_ns / 1e3,
        )
    return result


def prometheus_history(
    url: str, begin_s: float, end_s: float, step_s: float, selector: str = ""
) -> dict[str, Observed]:
    """What a Prometheus server recorded of Triton's counters, by model.

    Args:
        url: of the Prometheus server, ``http://host:9090``.
        begin_s: seconds since 1970.
        end_s: seconds since 1970.
        step_s: between samples; made longer where the range has too many.
        selector: further label matchers, ``job="triton"``.

    Raises:
        InvalidInputError: TG980, that is no address.
        EnvironmentProblem: TG980, it does not answer, refuses, or knows no metric of Triton.
    """
    step = max(step_s, (end_s - begin_s) / _MAX_POINTS)
    names = "|".join(METRICS)
    matchers = f'__name__=~"{names}"' + (f",{selector}" if selector else "")
    query = {
        "query": f"{{{matchers}}}",
        "start": f"{begin_s:.3f}",
        "end": f"{end_s:.3f}",
        "step": f"{step:.3f}",
    }
    series = _matrix(_get(url, "/api/v1/query_range?" + urlencode(query)), url)
    found = _observed(series)
    if series:
        fix = "Narrow it with --selector."
        raise _problem(url, f"it names more than {MAX_MODELS:,} models of servers", fix)
    if not found:
        fix = "Let it scrape Triton's metrics port (8002), or name another time or selector."
        raise _problem(url, "it holds no metric of Triton for that time", fix)
    return found


def _problem(url: str, what: str, fix: str = "") -> EnvironmentProblem:
    return EnvironmentProblem("TG980", what, where=shown_address(url), fix=fix)


def _observed(series: list[dict[str, Any]]) -> dict[str, Observed]:
    """Series of counters joined by server and model, then servers added up by model.

    What is used leaves the list, since an answer may take 100 MB as values, and again as readings.
    What is left there is beyond `MAX_MODELS`.
    """
    tables: dict[tuple[str, str], dict[float, dict[str, float]]] = {}
    series.reverse()
    while series and len(tables) <= MAX_MODELS:
        one = series.pop()
        labels = one.get("metric")
        if not isinstance(labels, dict):
            continue
        field = METRICS.get(str(labels.get("__name__", "")))
        model = str(labels.get("model", ""))
        if field is None or not model:
            continue
        server = ",".join(
            str(labels.get(name, "")) for name in ("instance", "pod", "version", "gpu_uuid")
        )
        table = tables.setdefault((model, server), {})
        values = one.pop("values", None)
        cut = values[: _MAX_POINTS + 1] if isinstance(values, list) else None
        for at_s, value in samples_of(cut, lambda _: None):
            row = table.setdefault(at_s, {})
            row[field] = row.get(field, 0.0) + value
    models: dict[str, list[Observed]] = {}
    for model, server in tuple(tables):
        readings = [
            CounterReading(at_s, ModelCounters(**row))
            for at_s, row in tables.pop((model, server)).items()
            if "requests" in row
        ]
        models.setdefault(model, []).append(observed(model, readings))
    return {model: merged(model, parts) for model, parts in sorted(models.items())}


def _matrix(content: bytearray, url: str) -> list[dict[str, Any]]:
    try:
        document = read_json(content)
    except ForeignAnswerError as problem:
        raise _problem(url, f"what answers there is no Prometheus: {problem}") from problem
    if not isinstance(document, dict) or document.get("status") != "success":
        said = document.get("error", "an error") if isinstance(document, dict) else "an error"
        raise _problem(url, f"Prometheus answered: {said}")
    data = document.get("data")
    result = data.get("result") if isinstance(data, dict) else None
    return [item for item in result if isinstance(item, dict)] if isinstance(result, list) else []


def _get(url: str, path: str) -> bytearray:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        fix = "Write it like http://host:9090."
        raise InvalidInputError(
            "TG980", "is not an address of a Prometheus", where=shown_address(url), fix=fix
        )
    context = ssl.create_default_context() if parts.scheme == "https" else None
    channel = HttpChannel(host, port, context)
    where = quote(parts.path.rstrip("/"), safe="/%:@") + path
    headers = _authorization(parts)
    try:
        return channel.ask("GET", where, headers=headers, seconds=_TIMEOUT_S).content
    except ForeignAnswerError as problem:
        fix = "Narrow it with --selector, a longer --interval or a shorter --for."
        raise _problem(url, str(problem), fix) from problem
    except OSError as problem:
        fix = "Name a Prometheus server that scrapes Triton, or the server itself with -u."
        what = f"no Prometheus answers: {describe_error(problem)}"
        raise _problem(url, what, fix) from problem
    finally:
        channel.close()


def _authorization(parts: SplitResult) -> dict[str, str]:
    """The header for the user's name and password in an address; empty without them."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
