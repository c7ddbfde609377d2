"""Readings of the server before and after a window: statistics, CPU time, memory."""

from collections.abc import Mapping

from tritongen.errors import TritongenError
from tritongen.probe.level import ServerReading
from tritongen.system.process_usage import cpu_seconds, process_tree, resident_bytes
from tritongen.triton.control import ServerControl
from tritongen.triton.metrics import Metrics
from tritongen.triton.statistics import (
    ModelStatistics,
    ServedConfig,
    ServerUse,
    served_config,
)


class Observer:
    """Reads what the server tells about some models, those of their ensembles included."""

    def __init__(
        self,
        control: ServerControl,
        configs: Mapping[str, ServedConfig],
        *,
        pid: int | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """Remember what to read.

        Args:
            control: of the server.
            configs: of the models, by name.
            pid: of a local server, None when it is not known.
            metrics: its metrics endpoint, None when it is not known.
        """
        self._control = control
        self._configs = dict(configs)
        self._pid = pid
        self._metrics = metrics
        for config in configs.values():
            self._add_steps(config)

    def _add_steps(self, config: ServedConfig) -> None:
        for step in config.steps:
            if step and step not in self._configs:
                try:
                    found = served_config(step, self._control.config(step))
                except TritongenError:
                    found = ServedConfig(step)
                self._configs[step] = found
                self._add_steps(found)

    def read(self) -> ServerReading | None:
        """The server's state now, None when it does not answer."""
        statistics: dict[str, ModelStatistics] = {}
        try:
            for name in self._configs:
                statistics[name] = self._control.statistics(name)
        except TritongenError:
            # The load goes on, and its numbers are good without the server's own.
            return None
        cpu_s, use = self._resources()
        return ServerReading(statistics, dict(self._configs), cpu_s, use)

    def _resources(self) -> tuple[float | None, ServerUse]:
        if self._pid is not None:
            pids = process_tree(self._pid)
            memory = sum(map(resident_bytes, pids))
            if pids:
                return cpu_seconds(*pids), ServerUse(None, memory, "process")
        if self._metrics is not None:
            return None, self._metrics.use()
        return None, ServerUse()
