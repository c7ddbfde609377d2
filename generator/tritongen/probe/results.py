"""From the raw outcome of a level to its results, one a model."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from shlex import quote

from tritongen.probe.level import Run, throughput
from tritongen.probe.load_engine import FailureCode
from tritongen.probe.recorder import Durations, Recorder
from tritongen.probe.recorder_state import recording_of
from tritongen.probe.statistics.attribution import (
    Advice,
    Attribution,
    advise,
    attribute,
    execution_of,
)
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import (
    PERCENTILES,
    ClientCost,
    LatencySummary,
    LevelLabels,
    LevelResult,
    Moment,
    RequestCounts,
    VerdictInputs,
    judge,
    percentile_key,
)
from tritongen.queueing import ClosedLoop
from tritongen.triton.statistics import ServedConfig, ServerUse

_NS = 1_000_000_000
# A slot is unlike the rest beyond so many standard deviations of the slots' means.
_UNUSUAL = 3.0
_MIN_SLOTS = 8
# A queue policy, and how Triton words that one refused a request.
_QUEUE_POLICY = "dynamic_batching.default_queue_policy"
_POLICY_REFUSALS = ("Request timeout expired", "Exceeds maximum queue size")


def level_results(run: Run, subjects: Sequence[LevelLabels]) -> list[LevelResult]:
    """One result for each model of the load, in the order of the subjects."""
    return [
        level_result(run, index, subject, _leading_warmup(run, index))
        for index, subject in enumerate(subjects)
    ]


def level_result(run: Run, index: int, subject: LevelLabels, first: int) -> LevelResult:
    """The result for one model of the load, from a slot of the window on."""
    recorder = run.records.main[index]
    precision = run.conditions.precision
    stretch = recorder.stretch(first, run.end_ns)
    latency = stretch.summary(precision.confidence)
    rate = throughput(recorder, first, run.end_ns, precision.confidence)
    client = _client(run, recorder, subject.processes)
    requests = _counts(recorder, run)
    deciding = stretch.quantile(precision.percentile / 100.0, precision.confidence)
    evidence = _evidence(run, recorder, latency, rate, deciding, requests, client)
    verdict, reason = judge(evidence, precision)
    attribution = _attribution(run, recorder, subject)
    return LevelResult(
        **asdict(subject),
        load=run.load,
        verdict=verdict,
        reason=reason,
        duration_s=run.window_s,
        warmup_s=(run.mark_ns - run.begin_ns + first * recorder.slot_ns) / _NS,
        throughput=rate,
        latency=latency,
        latency_all=summary(recorder.everything),
        service=latency if isinstance(run.load, ClosedLoop) else summary(recorder.service),
        requests=requests,
        client=client,
        attribution=attribution,
        advice=_advice(run, subject, attribution, client, requests),
        timeline=(
            *_timeline(run.records.warmup[index], run.begin_ns, run.mark_ns, run, warmup=True),
            *_timeline(recorder, run.mark_ns, run.end_ns, run, warmup=False),
        ),
        recording=None if run.conditions.begin_at is None else recording_of(run, index, first),
    )


def _leading_warmup(run: Run, index: int) -> int:
    """Slots of the window that still are warm-up: slow from the very begin of the load.

    A stall is no warm-up: before it there were requests like those after it, and then nothing is
    left out.
    """
    if run.mark_ns <= run.begin_ns:
        return 0
    recorder, before = run.records.main[index], run.records.warmup[index]
    cut = recorder.warmup_slots(run.end_ns)
    rest = _slot_means(recorder, cut, recorder.used_slots(run.end_ns))
    if not cut or len(rest) < _MIN_SLOTS:
        return 0
    usual = statistics.fmean(rest) + _UNUSUAL * statistics.pstdev(rest)
    earlier = _slot_means(before, 0, before.used_slots(run.mark_ns))
    if any(mean <= usual for mean in earlier):
        return 0
    leading = _slot_means(recorder, 0, cut)
    return next((slot for slot, mean in enumerate(leading) if mean <= usual), len(leading))


def _slot_means(recorder: Recorder, first: int, last: int) -> list[float]:
    """Mean latency of each slot; a slot without requests repeats its predecessor."""
    means: list[float] = []
    for slot in range(first, last):
        count = int(recorder.counts[slot])
        if count:
            means.append(float(recorder.sums[slot]) / count)
        elif means:
            means.append(means[-1])
    return means


def summary(durations: Durations) -> LatencySummary:
    """A distribution without intervals: their ends are those of the estimate."""
    histogram = durations.histogram()
    if not histogram.total:
        return LatencySummary()
    points = {percentile_key(p): histogram.quantile(p / 100.0) / 1e3 for p in PERCENTILES}
    percentiles = {key: Interval(value, value, value) for key, value in points.items()}
    mean = histogram.mean_ns / 1e3
    return LatencySummary(
        percentiles, Interval(mean, mean, mean), histogram.max_ns / 1e3, histogram
    )


def _client(run: Run, recorder: Recorder, processes: int) -> ClientCost:
    cpu_ns = run.at_end.cpu_ns - run.at_mark.cpu_ns
    return ClientCost(
        cpu_us_per_request=_us_a_request(run, cpu_ns),
        busy_share=cpu_ns / (run.window_s * _NS) / processes,
        lateness=LatencySummary()
        if isinstance(run.load, ClosedLoop)
        else summary(recorder.lateness),
    )


def _counts(recorder: Recorder, run: Run) -> RequestCounts:
    failed = sum(recorder.codes.values())
    ok = recorder.successes
    return RequestCounts(
        sent=ok + failed,
        ok=ok,
        failed=failed,
        failures_by_code=dict(sorted(recorder.codes.items(), key=lambda item: -item[1])),
        examples=dict(recorder.examples),
        unfinished=recorder.codes.get(FailureCode.UNFINISHED, 0),
        unsent=run.records.unsent,
    )


def _evidence(
    run: Run,
    recorder: Recorder,
    latency: LatencySummary,
    rate: Interval | None,
    deciding: Interval | None,
    requests: RequestCounts,
    client: ClientCost,
) -> VerdictInputs:
    seen = recorder.outstanding[: recorder.used_slots(run.end_ns)]
    return VerdictInputs(
        requests,
        client,
        rate,
        deciding,
        latency.percentiles.get("p50"),
        capped=run.at_end.capped,
        due=run.records.due,
        outstanding=seen[seen >= 0].tolist(),
        unanswered=run.records.unfinished,
        ended=run.ended,
        closed=isinstance(run.load, ClosedLoop),
    )


def _attribution(run: Run, recorder: Recorder, subject: LevelLabels) -> Attribution | None:
    before, after = run.before, run.after
    if before is None or after is None or not recorder.successes:
        return None
    if subject.model not in after.statistics:
        return None
    executions = {
        name: execution_of(
            statistics.since(before.statistics.get(name, statistics)),
            after.configs.get(name, ServedConfig(name)),
            run.window_s,
        )
        for name, statistics in after.statistics.items()
    }
    config = after.configs.get(subject.model, ServedConfig(subject.model))
    # Book-keeping and waiting are no part of a latency.
    spent_ns = run.at_end.request_ns - run.at_mark.request_ns
    lateness = 0.0
    if not isinstance(run.load, ClosedLoop):
        late = recorder.lateness.histogram()
        lateness = late.mean_ns / 1e3 if late.total else 0.0
    return attribute(
        executions[subject.model],
        tuple(executions[name] for name in config.steps if name in executions),
        float(recorder.sums.sum()) / recorder.successes / 1e3,
        lateness,
        _us_a_request(run, max(spent_ns, 0)),
        _use(run),
    )


def _us_a_request(run: Run, spent_ns: int) -> float:
    """CPU time that was spent in the window, by the requests that ended in it."""
    finished = run.at_end.finished - run.at_mark.finished
    return spent_ns / 1e3 / finished if finished else 0.0


def _use(run: Run) -> ServerUse:
    before, after = run.before, run.after
    if before is None or after is None:
        return ServerUse()
    if before.cpu_s is None or after.cpu_s is None:
        return after.use
    cores = (after.cpu_s - before.cpu_s) / run.window_s
    return replace(after.use, cpu_cores=cores)


def _advice(
    run: Run,
    subject: LevelLabels,
    attribution: Attribution | None,
    client: ClientCost,
    requests: RequestCounts,
) -> tuple[Advice, ...]:
    found: list[Advice] = []
    for code, count in requests.failures_by_code.items():
        share = count / max(requests.ok + requests.failed, 1)
        message = requests.examples.get(code, "")
        sentence = f"{share:.2%} of the requests failed with {code}: {message}"
        command = ""
        if any(words in message for words in _POLICY_REFUSALS):
            sentence += "; the model's queue policy gives up requests rather than let them wait"
            command = f"tritongen explain {quote(subject.model)} {_QUEUE_POLICY}"
        elif code == "HTTP 429":
            sentence += "; what stands before the server limits its requests: ask less with --rate"
        found.append(Advice(sentence, command))
    if attribution is not None and run.after is not None:
        config = run.after.configs.get(subject.model, ServedConfig(subject.model))
        found.extend(
            advise(
                attribution,
                config,
                client_busy=client.busy_share,
                closed=isinstance(run.load, ClosedLoop),
                payload_bytes=subject.payload_bytes,
            )
        )
    return tuple(found)


def _timeline(
    recorder: Recorder, begin_ns: int, end_ns: int, run: Run, *, warmup: bool
) -> list[Moment]:
    """One moment for each slot of a recorder, up to the window's end."""
    if end_ns <= begin_ns:
        return []
    used = recorder.used_slots(end_ns)
    moments = []
    for slot in range(used):
        begin = recorder.begin_ns + slot * recorder.slot_ns
        end = min(begin + recorder.slot_ns, end_ns)
        if end <= begin:
            break
        count = int(recorder.counts[slot])
        histogram = recorder.slot_histogram(slot) if count else None
        moments.append(
            Moment(
                at_s=(begin - run.begin_ns) / _NS,
                seconds=(end - begin) / _NS,
                completed=int(recorder.completed[slot]),
                failed=int(recorder.failed[slot]),
                mean_us=float(recorder.sums[slot]) / count / 1e3 if count else None,
                p50_us=histogram.quantile(0.5) / 1e3 if histogram else None,
                p99_us=histogram.quantile(0.99) / 1e3 if histogram else None,
                outstanding=max(int(recorder.outstanding[slot]), 0),
                warmup=warmup,
            )
        )
    return moments
