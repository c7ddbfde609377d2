"""The runtime without Docker: preflight, start, and finding a server again."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.progress import Progress, silent
from tritongen.model.releases import find
from tritongen.serving import reaper
from tritongen.serving.embedded import embedded_preflight
from tritongen.serving.embedded.fetch import TRITON_VERSION, ensure_triton
from tritongen.serving.embedded.launch import launch
from tritongen.serving.embedded.layout import build_layout
from tritongen.serving.preflight import choose_ports, endpoints, port_findings, refuse_taken
from tritongen.serving.protocol import ServerSpec, new_state
from tritongen.serving.reaper import Guard
from tritongen.system.processes import (
    LABEL,
    SERVER,
    ProcessRef,
    boot_id,
    environment_of,
    region_prefix,
)
from tritongen.trial.target_library import TargetLibrary, target_library
from tritongen.triton.server import ApiKeys, RuntimeName, ServerState

if TYPE_CHECKING:
    from tritongen.serving.embedded.embedded_server import EmbeddedServer


class EmbeddedRuntime:
    """Runs the Triton of the PyPI wheel as a child process.

    Args:
        wheel: a local copy of the wheel, for machines without a network.
        progress: told of the download.
    """

    name = RuntimeName.EMBEDDED

    def __init__(self, wheel: Path | None = None, progress: Progress | None = None) -> None:
        self._wheel = wheel
        self._progress = progress

    def preflight(self, spec: ServerSpec) -> tuple[Finding, ...]:
        """What stands in the way on this machine; see `ServerRuntime.preflight`."""
        found = embedded_preflight.findings(spec)
        if any(item.severity is Severity.ERROR for item in found):
            return found  # nothing is fetched for what does not start
        return (*found, *self._library_findings(spec))

    def _library_findings(self, spec: ServerSpec) -> Iterator[Finding]:
        """That the installed ONNX Runtime stands in for the target's."""
        if reason := self._library(spec).reason:
            there = find(spec.release).onnxruntime
            message = (
                "backend onnxruntime runs on the installed ONNX Runtime; "
                f"Triton {spec.release} has {there}: {reason}"
            )
            fix = "Install that version, or let pip fetch it, and start the server again."
            yield finding("TG217", Severity.WARNING, message, fix=fix)

    def _library(self, spec: ServerSpec) -> TargetLibrary:
        """Where the onnxruntime backend takes its library from; fetched where it must be."""
        if "onnxruntime" not in spec.backends or not spec.release:
            return TargetLibrary()
        return target_library(find(spec.release).onnxruntime, self._progress or silent)

    def make_room(self, label: str) -> None:
        """Nothing: a server that has ended leaves nothing in the way of another."""

    def start(self, spec: ServerSpec) -> "EmbeddedServer":
        """Starts the server and returns at once; see `ServerRuntime.start`."""
        layout = build_layout(ensure_triton(wheel=self._wheel, progress=self._progress))
        library = self._library(spec)
        refuse_taken(port_findings(spec.host, spec.ports))
        spec = replace(spec, ports=choose_ports(spec.host, spec.ports))
        server, keys = os.urandom(8).hex(), ApiKeys.new()
        # The guard stands before the server does, so that no moment is without one.
        guard = Guard(reaper.__name__, f"{SERVER}={server}", region_prefix(server), packages=False)
        try:
            process = launch(spec, layout, server, keys, library.folder)
        except OSError as error:
            guard.dismiss()
            raise EnvironmentProblem(
                "TG810", f"tritonserver cannot be run: {error.strerror}", where=str(error.filename)
            ) from error
        except EnvironmentProblem:
            guard.dismiss()
            raise
        try:
            reference = ProcessRef.of(process.pid) or ProcessRef(process.pid, 0)
            # What watches a server is loaded while it starts.
            from tritongen.serving.embedded.embedded_server import EmbeddedServer

            ends = endpoints(spec.host, spec.ports)
            state = replace(
                new_state(spec, self.name, ends, server, keys, TRITON_VERSION),
                pid=reference.pid,
                start_ticks=reference.start_ticks,
                boot_id=boot_id(),
            )
            return EmbeddedServer(state, process, guard)
        except BaseException:
            guard.finish()
            raise

    def attach_to(self, state: ServerState) -> "EmbeddedServer | None":
        """The server of a state file, None after a reboot, its end, or for another runtime's."""
        if state.runtime is not self.name or state.boot_id != boot_id():
            return None
        if not ProcessRef(state.pid, state.start_ticks).alive():
            return None
        marks = environment_of(state.pid)
        if (marks.get(SERVER), marks.get(LABEL)) != (state.server, state.label):
            return None
        from tritongen.serving.embedded.embedded_server import EmbeddedServer

        return EmbeddedServer(state)
