"""What `probe` is asked to measure, and what it has measured."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tritongen.errors import TritongenError
from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.level import Conditions, Update
from tritongen.probe.load_engine import EngineOptions
from tritongen.probe.load_job import InputOptions
from tritongen.probe.report.json_document import Environment
from tritongen.probe.statistics.measurement import LevelResult
from tritongen.probe.workload import Load
from tritongen.queueing import ClosedLoop
from tritongen.triton.access import Access

Tell = Callable[[str, Load, Update], None]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model to probe.

    Attributes:
        name: its name.
        version: empty for the server's choice.
        share: of the load, None where models are probed in turn.
    """

    name: str
    version: str = ""
    share: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What to measure.

    Attributes:
        models: in order; empty for every ready model in turn.
        url: addresses with commas between them, empty for the project's running server.
        protocol: how requests travel; None for what the address says.
        access: how the servers of `url` are reached.
        loads: levels, in order.
        inputs: where inputs come from.
        conditions: how long and how precisely.
        processes: that make the load.
        sequence_length: steps of a sequence, 0 for independent requests.
        streaming: use bidirectional streams for models that are not decoupled, too.
        shared_memory: put inputs and outputs into system shared memory.
        options: of the engine.
        intent: `tritongen.yaml` with declared inputs; None looks for one.
        command: as typed, for the report.
    """

    models: tuple[ModelChoice, ...] = ()
    url: str = ""
    protocol: ClientProtocol | None = None
    access: Access = field(default_factory=Access)
    loads: tuple[Load, ...] = (ClosedLoop(8),)
    inputs: InputOptions = field(default_factory=InputOptions)
    conditions: Conditions = field(default_factory=Conditions)
    processes: int = 1
    sequence_length: int = 0
    streaming: bool = False
    shared_memory: bool = False
    options: EngineOptions = field(default_factory=EngineOptions)
    intent: Path | None = None
    command: str = ""


@dataclass(slots=True)
class ProbeReport:
    """What was measured, complete or not.

    Attributes:
        environment: where and how.
        levels: in order.
        problem: what ended the run early, None when nothing did.
        interrupted: number of the signal by which the user ended it, 0 for none.
    """

    environment: Environment
    levels: list[LevelResult] = field(default_factory=list)
    problem: TritongenError | None = None
    interrupted: int = 0
