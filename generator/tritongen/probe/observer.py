"""Readings of the server before and after a window: statistics, CPU time, memory."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tritongen.domain.attribution import ModelStatistics, ServedConfig, ServerUse
from tritongen.errors import TritongenError
from tritongen.probe.control import Control, served_config
from tritongen.probe.level import Reading
from tritongen.probe.metrics import Metrics

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SERVER_NAME = "tritonserver"


class Observer:
    """Reads what the server tells about some models, those of their ensembles included."""

    def __init__(
        self,
        control: Control,
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

    def read(self) -> Reading | None:
        """The server's state now, None when it does not answer."""
        statistics: dict[str, ModelStatistics] = {}
        try:
            for name in self._configs:
                statistics[name] = self._control.statistics(name)
        except TritongenError:
            # The load goes on, and its numbers are good without the server's own.
            return None
        cpu_s, use = self._resources()
        return Reading(statistics, dict(self._configs), cpu_s, use)

    def _resources(self) -> tuple[float | None, ServerUse]:
        if self._pid is not None:
            pids = process_tree(self._pid)
            cpu_s = sum(filter(None, (_cpu_seconds(pid) for pid in pids)))
            memory = sum(filter(None, (_resident_bytes(pid) for pid in pids)))
            if pids:
                return cpu_s, ServerUse(None, memory, "process")
        if self._metrics is not None:
            return None, self._metrics.use()
        return None, ServerUse()


def process_tree(pid: int) -> list[int]:
    """A process and its descendants; empty when it is gone."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat_fields(int(entry.name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    if not _stat_fields(pid):
        return []
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue.extend(parents.get(current, ()))
    return found


def _stat_fields(pid: int) -> Sequence[str]:
    """Fields of /proc/PID/stat after the name: state, parent, …; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return text.rpartition(")")[2].split()


def _cpu_seconds(pid: int) -> float | None:
    fields = _stat_fields(pid)
    if len(fields) < 13:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> int | None:
    fields = _stat_fields(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 21 else None


def local_server(host: str, port: int) -> int | None:
    """The process of a Triton that listens on a port of this machine, None when there is none.

    A proxy that listens for a server in a container is not taken for the server.
    """
    if host not in _LOOPBACK:
        return None
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or not _is_server(entry):
            continue
        try:
            links = {str(link.readlink()) for link in (entry / "fd").iterdir()}
        except OSError:
            continue
        if links & {f"socket:[{inode}]" for inode in inodes}:
            return int(entry.name)
    return None


def _is_server(entry: Path) -> bool:
    try:
        return (entry / "comm").read_text().strip().startswith(_SERVER_NAME)
    except OSError:
        return False


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            listening = fields[3] == "0A"
            if listening and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found
