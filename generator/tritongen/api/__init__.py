"""The commands of tritongen as typed functions; nothing is printed.

Each takes what the command takes, raises what `tritongen.errors` documents, and returns a frozen
result, whose `to_dict()` is the document that the command prints with `--format json`. What is
loaded for a function is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritongen.api.building import BuildRequest, BuiltRepository, build
    from tritongen.api.calling import ClientExample, client
    from tritongen.api.checking import CheckedRepository, check
    from tritongen.api.explaining import ExplainedCode, ExplainedModel, explain, explain_code
    from tritongen.api.inspecting import InspectedFolder, inspect
    from tritongen.api.planning import PlannedFleet, plan
    from tritongen.api.probing import ProbedLoads, compare_probes, merge_probes, probe
    from tritongen.api.result import ApiResult
    from tritongen.api.tuning import TunedRepository, tune
    from tritongen.api.verifying import VerifiedRepository, verify
    from tritongen.fleet.plan_fleet import PlanOptions
    from tritongen.probe.level import Conditions
    from tritongen.probe.load_job import InputOptions
    from tritongen.probe.probe_request import ModelChoice, ProbeRequest
    from tritongen.probe.questions.goal_and_knee import LoadSearch
    from tritongen.queueing.load import ClosedLoop, OpenLoop
    from tritongen.triton.access import Access
    from tritongen.triton.address import Tls
    from tritongen.tune.tune_options import TuneOptions

__all__ = [
    "Access", "ApiResult", "BuildRequest", "BuiltRepository", "CheckedRepository",
    "ClientExample", "ClosedLoop", "Conditions", "ExplainedCode", "ExplainedModel",
    "InputOptions", "InspectedFolder", "LoadSearch", "ModelChoice", "OpenLoop", "PlanOptions",
    "PlannedFleet", "ProbeRequest", "ProbedLoads", "Tls", "TuneOptions", "TunedRepository",
    "VerifiedRepository", "build", "check", "client", "compare_probes", "explain", "explain_code",
    "inspect", "merge_probes", "plan", "probe", "tune", "verify",
]  # fmt: skip

# The modules have other names than their functions: a loaded module is an attribute here, too.
_EXPORTS = {
    "api.building": ("BuildRequest", "BuiltRepository", "build"),
    "api.calling": ("ClientExample", "client"),
    "api.checking": ("CheckedRepository", "check"),
    "api.explaining": ("ExplainedCode", "ExplainedModel", "explain", "explain_code"),
    "api.inspecting": ("InspectedFolder", "inspect"),
    "api.planning": ("PlannedFleet", "plan"),
    "api.probing": ("ProbedLoads", "compare_probes", "merge_probes", "probe"),
    "api.result": ("ApiResult",),
    "api.tuning": ("TunedRepository", "tune"),
    "api.verifying": ("VerifiedRepository", "verify"),
    "fleet.plan_fleet": ("PlanOptions",),
    "probe.level": ("Conditions",),
    "probe.load_job": ("InputOptions",),
    "probe.probe_request": ("ModelChoice", "ProbeRequest"),
    "probe.questions.goal_and_knee": ("LoadSearch",),
    "queueing.load": ("ClosedLoop", "OpenLoop"),
    "triton.access": ("Access",),
    "triton.address": ("Tls",),
    "tune.tune_options": ("TuneOptions",),
}
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}

if not TYPE_CHECKING:  # else every misspelt name would have a type

    def __getattr__(name: str) -> object:
        """A function or a class of the API, loaded when it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(f"tritongen.{_HOMES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
