"""A discrete-event simulation of Triton's scheduler.

Requests arrive, pass the front end, wait in their model's queue, and are executed by the first
free instance in the batches that the dynamic batcher forms. Executions share the cores: whatever
begins or ends changes the speed of all that run.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from tritongen.queueing.load import ClosedLoop
from tritongen.queueing.random_stream import Stream
from tritongen.queueing.service_times import ServiceTimes, Spread
from tritongen.queueing.simulated_server import (
    PAUSED_SHARE,
    FrontEnd,
    Pauses,
    ServedModel,
    Server,
    SimulatedModel,
    Simulation,
)
from tritongen.queueing.station import (
    BatchQueue,
    Counters,
    DirectQueue,
    RequestTable,
    Station,
)

# Share of the requests that are left out while queues fill.
WARMUP_SHARE = 0.1


def simulate(
    server: Server, *, seed: int, requests: int = 10_000, warmup: float = WARMUP_SHARE
) -> Simulation:
    """Simulates a server until so many requests have been answered.

    Args:
        server: models, settings and loads.
        seed: of arrivals, batch sizes and execution times; the same seed gives the same result.
        requests: over all models together; fewer when all arrivals come to an end.
        warmup: share of them that is left out of the figures.

    Returns:
        The figures of every model over the measured window.
    """
    return _Run(server, seed).until(requests, int(requests * warmup))


@dataclass(slots=True)
class _Source:
    """Where one model's requests come from."""

    model: ServedModel
    station: Station
    stream: Stream
    times: Iterator[float]
    closed: bool


@dataclass(slots=True)
class _Limiter:
    """Triton's rate limiter: executions hold units of one resource."""

    free: int
    staged: list[int] = field(default_factory=list)


class _Run:
    """The state of one simulation."""

    def __init__(self, server: Server, seed: int) -> None:
        self._server = server
        self._seed = seed
        self._table = RequestTable([], [], [])
        self._owner: list[int] = []
        stream = Stream(seed)
        self._stations = [self._model_station(model, stream) for model in server.models]
        self._front_end = self._front_station(server.front_end, server.cores)
        self._all = self._stations + ([self._front_end] if self._front_end else [])
        self._delaying = [
            station
            for model, station in zip(server.models, self._stations, strict=True)
            if model.queue_delay_s
        ]
        self._sources = [
            _source(model, station, stream)
            for model, station in zip(server.models, self._stations, strict=True)
        ]
        self._limiter = _Limiter(server.slots) if server.slots else None
        self._arrivals: list[tuple[float, int]] = []
        self._now = 0.0
        self._since = 0.0  # when executions went on last: now, or the end of a pause
        # The label seeds the numbers: it is older than the name.
        self._pauses = _pause_times(server.pauses, stream.child("stalls"))
        self._pause = next(self._pauses, (math.inf, 0.0))
        self._finished = 0
        self._busy_threads = 0
        self._changed = False  # executions began or ended in this event

    def _model_station(self, model: ServedModel, stream: Stream) -> Station:
        service, threads = model.service, model.threads
        queue = DirectQueue()
        if model.queue_delay_s is not None:
            queue = BatchQueue(self._table, model.queue_delay_s, model.max_batch_size)
        return Station(
            queue,
            model.instances,
            threads,
            lambda rows: service.alone(rows, threads),
            _scatter(service, stream.child(f"service {model.name}")),
            lambda busy, foreign: service.slowdown(threads, busy, foreign),
            model.slots,
        )

    def _front_station(self, front: FrontEnd | None, cores: float) -> Station | None:
        if front is None or front.cpu_s <= 0.0:
            return None
        cpu_s = front.cpu_s
        at_rates = any(not isinstance(one.load, ClosedLoop) for one in self._server.models)
        woken = 1.0 + front.wake_s / cpu_s if at_rates else 1.0
        return Station(
            DirectQueue(),
            front.workers,
            1,
            lambda rows: cpu_s,  # noqa: ARG005  (the cost of a request, whatever its rows)
            (lambda rest_s: woken if rest_s > 0.0 else 1.0) if woken > 1.0 else None,
            lambda busy, foreign: max(1.0, (busy + foreign) / cores),
        )

    def until(self, requests: int, warmup: int) -> Simulation:
        """Runs; see `simulate`."""
        self._begin()
        if warmup > 0:
            self._go_on(min(warmup, requests))
            # One event may answer more than all that is asked for: then everything counts.
            if warmup <= self._finished < requests:
                for station in self._all:
                    station.counters = station.counters.since(self._now)
        self._go_on(requests)
        return Simulation(
            tuple(
                _figures(
                    source.model.name,
                    source.station,
                    self._now,
                    _network_delay(source.model, self._seed),
                )
                for source in self._sources
            )
        )

    def _begin(self) -> None:
        for index, source in enumerate(self._sources):
            load = source.model.load
            clients = load.concurrency if isinstance(load, ClosedLoop) else 1
            for _ in range(clients):
                first = next(source.times, math.inf)
                if first < math.inf:
                    heappush(self._arrivals, (first, index))

    def _go_on(self, requests: int) -> None:
        """Event after event until so many requests are answered, or nothing happens any more."""
        stations, arrivals, delaying = self._all, self._arrivals, self._delaying
        while self._finished < requests:
            # At one time executions end first, then requests arrive, then delays are over.
            now, ending, sleeper = math.inf, None, None
            for station in stations:
                if station.due < now:
                    now, ending = station.due, station
            if arrivals and arrivals[0][0] < now:
                now, ending = arrivals[0][0], None
            for station in delaying:
                if station.queue.wake < now:
                    now, ending, sleeper = station.queue.wake, None, station
            if now == math.inf:
                return
            if self._pause[0] < now:
                self._pause_all()
                continue
            self._advance(now)
            if ending is not None:
                self._complete(ending, now)
            elif sleeper is not None:
                sleeper.queue.wake = math.inf
                self._dispatch(sleeper, now)
            else:
                self._arrive(now)
            if self._changed:
                self._changed = False
                self._respeed()

    def _pause_all(self) -> None:
        """A pause begins: nothing goes on before it is over."""
        now, length = self._pause
        self._advance(now)
        self._since = max(self._since, now + length)
        self._pause = next(self._pauses)
        self._respeed()

    def _advance(self, now: float) -> None:
        span = now - self._since
        if span > 0.0:
            for station in self._all:
                station.clock += span * station.speed
            self._since = now
        self._now = now

    def _arrive(self, now: float) -> None:
        _, index = heappop(self._arrivals)
        source = self._sources[index]
        table = self._table
        request = len(table.arrived)
        table.arrived.append(now)
        table.queued.append(now)
        choices = source.model.rows
        table.rows.append(choices[0] if len(choices) == 1 else source.stream.choice(choices))
        self._owner.append(index)
        counters = source.station.counters
        counters.pass_time(now)
        counters.in_system += 1
        if not source.closed:
            following = next(source.times, math.inf)
            if following < math.inf:
                heappush(self._arrivals, (following, index))
        station = self._front_end or source.station
        station.queue.waiting.append(request)
        if station.busy < station.instances:
            self._dispatch(station, now)

    def _dispatch(self, station: Station, now: float, most: float = math.inf) -> None:
        """Lets idle instances take what is ready, up to `most` batches."""
        queue = station.queue
        limited = self._limiter is not None
        while queue.waiting and station.busy < station.instances and most > 0:
            if limited and not self._admitted(station):
                break
            batch = queue.take(now)
            if not batch:
                break
            station.start(now, batch, self._table)
            self._changed = True
            self._busy_threads += station.threads
            if self._limiter is not None:
                self._limiter.free -= station.slots
            most -= 1

    def _admitted(self, station: Station) -> bool:
        """Whether the rate limiter lets a batch of this model start; else it is staged."""
        limiter = self._limiter
        if limiter is None or station.slots == 0:
            return True
        index = self._all.index(station)
        if station.slots <= limiter.free and not limiter.staged:
            return True
        if index not in limiter.staged:
            limiter.staged.append(index)
        return False

    def _restage(self, now: float) -> None:
        """After a release the least used instance goes first; it holds back the others."""
        limiter = self._limiter
        while limiter is not None and limiter.staged:
            index = min(limiter.staged, key=lambda i: self._all[i].use)
            station = self._all[index]
            if station.slots > limiter.free:
                return
            limiter.staged.remove(index)
            others, limiter.staged = limiter.staged, []
            started = station.executions
            self._dispatch(station, now, most=1)
            limiter.staged = others
            if station.executions > started and station.queue.waiting:
                limiter.staged.append(index)

    def _complete(self, station: Station, now: float) -> None:
        batch = station.finish(now)
        self._changed = True
        self._busy_threads -= station.threads
        if station is self._front_end:
            request = batch[0]
            served = self._stations[self._owner[request]]
            self._table.queued[request] = now
            served.queue.waiting.append(request)
            if served.busy < served.instances:
                self._dispatch(served, now)
        else:
            self._answer(station.counters, batch, now)
            if self._limiter is not None:
                self._limiter.free += station.slots
                self._restage(now)
        if station.queue.waiting:
            self._dispatch(station, now)

    def _answer(self, counters: Counters, batch: list[int], now: float) -> None:
        """Requests of one model are answered; their clients may send the next ones."""
        counters.pass_time(now)
        counters.in_system -= len(batch)
        self._finished += len(batch)
        arrived = self._table.arrived
        counters.latencies.extend([now - arrived[request] for request in batch])
        index = self._owner[batch[0]]
        source = self._sources[index]
        if source.closed:
            again = (now + source.model.transport_s, index)
            for _ in batch:
                heappush(self._arrivals, again)

    def _respeed(self) -> None:
        """Adapts every busy station to the threads that the others keep busy."""
        total, now = self._busy_threads, self._since
        for station in self._all:
            busy = station.busy
            if busy:
                foreign = total - busy * station.threads
                slow = station.slowdowns.get((busy, foreign))
                if slow is None:
                    slow = station.slowdowns[busy, foreign] = station.slowdown(busy, foreign)
                station.speed = 1.0 / slow
                left = station.jobs[0][0] - station.clock
                station.due = now + left * slow if left > 0.0 else now


def _pause_times(pauses: Pauses | None, stream: Stream) -> Iterator[tuple[float, float]]:
    """When pauses begin, and how long they last."""
    now = 0.0
    while pauses is not None and pauses.share > 0.0:
        now += stream.exponential(1.0 / pauses.per_s)
        yield now, pauses.length_s
        now += pauses.length_s


def _scatter(service: ServiceTimes, stream: Stream) -> Callable[[float], float] | None:
    """Factors for execution times after a rest, of mean 1 without one; None when all are 1."""
    if service.spread is Spread.EXPONENTIAL:
        return lambda rest_s: stream.exponential(1.0) * service.idle_factor(rest_s)
    cv = service.cv
    if service.idle_penalty <= 0.0:
        if cv <= 0.0:
            return None
        factor = stream.lognormals(cv)
        return lambda rest_s: factor()  # noqa: ARG005  (a rest costs this one nothing)
    factor = stream.lognormals(cv)
    return lambda rest_s: factor() * service.idle_factor(rest_s)


def _source(model: ServedModel, station: Station, stream: Stream) -> _Source:
    own = stream.child(f"requests {model.name}")
    load = model.load
    if isinstance(load, ClosedLoop):
        # Clients start within one execution of each other, as real ones do.
        stagger = model.service.alone(model.rows[0], model.threads)
        starts = (own.uniform() * stagger for _ in range(load.concurrency))
        return _Source(model, station, own, starts, closed=True)
    times = load.times(stream.child(f"arrivals {model.name}"))
    return _Source(model, station, own, times, closed=False)


def _network_delay(model: ServedModel, seed: int) -> Callable[[], float]:
    """What a request spends in the network and in the client."""
    transport, pause = model.transport_s, model.network_pause_s
    if pause <= 0.0:
        return lambda: transport
    stream = Stream(seed).child(f"pauses {model.name}")
    share = PAUSED_SHARE
    return lambda: transport + (stream.exponential(pause) if stream.uniform() < share else 0.0)


def _figures(
    name: str, station: Station, now: float, network_delay_s: Callable[[], float]
) -> SimulatedModel:
    seen = station.counters
    seen.pass_time(now)
    span = now - seen.begun
    latencies = tuple(sorted(latency + network_delay_s() for latency in seen.latencies))
    return SimulatedModel(
        name=name,
        seconds=span,
        requests=len(latencies),
        latencies_s=latencies,
        mean_wait_s=seen.wait_s / seen.waits if seen.waits else 0.0,
        mean_execution_s=seen.busy_s / seen.executions if seen.executions else math.nan,
        mean_batch=seen.rows / seen.started if seen.started else math.nan,
        mean_in_system=seen.in_system_s / span if span > 0.0 else 0.0,
        utilisation=seen.busy_s / (span * station.instances) if span > 0.0 else 0.0,
        unfinished=seen.in_system,
    )
