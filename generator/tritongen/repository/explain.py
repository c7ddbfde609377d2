"""Why every value of a model's configuration is what it is, with its evidence."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritongen.config.config_message import ConfigMessage
from tritongen.errors import InvalidInputError
from tritongen.model.findings import Finding
from tritongen.model.progress import silent
from tritongen.model.serving_plan import Reason, ServerPlan
from tritongen.planner import left_out, plan_serving
from tritongen.repository.gather_evidence import gather_evidence, trial_policy
from tritongen.repository.project import load_project, model_named
from tritongen.repository.render_repository import render_model
from tritongen.repository.stored_variants import with_selection


@dataclass(frozen=True, slots=True)
class Explanation:
    """One value and why.

    Attributes:
        field: path in the configuration, or the server's variable or flag.
        value: as text; empty where the field is deliberately absent.
        reason: why.
    """

    field: str
    value: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Explained:
    """Every explained value of one model, the server's included, and the plan's findings."""

    model: str
    values: tuple[Explanation, ...]
    findings: tuple[Finding, ...]


def explain(root: Path, repository: Path, model: str, field: str = "") -> Explained:
    """Explain one model, or the fields whose path contains `field`.

    Args:
        root: the models folder.
        repository: whose lock holds the evidence.
        model: its name.
        field: part of a field's path; empty for all.

    Raises:
        InvalidInputError: TG306 no such model, or it cannot be served; TG304 no such field.
    """
    project = with_selection(load_project(root, repository, without_files=True))
    facts = model_named(model, project.models, root)
    gathered = gather_evidence(project, trial_policy(run=False), silent)
    cores = project.target().cores
    plan = plan_serving(project.models, project.intent, gathered.evidence, cores)
    planned = next((item for item in plan.models if item.name == model), None)
    if planned is None:
        raise InvalidInputError(
            "TG306",
            f"{model} is not served, so it has no configuration",
            where=str(root),
            fix=f"See `tritongen inspect {root}`.",
            details=[
                item.in_words
                for item in left_out(project.models, project.intent, gathered.evidence)
                if item.model == model
            ],
        )
    config = render_model(planned, facts, project.variants.get(model)).config
    values = _explanations(config, plan.server)
    wanted = tuple(item for item in values if field in item.field)
    if not wanted:
        known = ", ".join(item.field for item in values)
        raise InvalidInputError(
            "TG304",
            f"no field {field!r} is explained; known: {known}",
            fix="Name one of them, or a part of its path.",
        )
    lost = tuple(item for item in gathered.lost if item.model == model)
    return Explained(model, wanted, (*lost, *planned.findings))


def _explanations(config: ConfigMessage, server: ServerPlan) -> list[Explanation]:
    """Every value of one configuration and of the server, with its reason."""
    return [
        *(
            Explanation(path, _value(config.message, path), reason)
            for path, reason in config.reasons.items()
        ),
        *(Explanation(path, "", reason) for path, reason in config.remarks.items()),
        Explanation("server.cores", str(server.cores.value), server.cores.reason),
        *(
            Explanation(f"server.environment.{name}", value.value, value.reason)
            for name, value in server.environment
        ),
        *(
            Explanation(f"server.flags.{name}", value.value, value.reason)
            for name, value in server.flags
        ),
    ]


_STEP = re.compile(r'([a-z_]+)(?:\[(\d+)\]|\["([^"]*)"\])?(?:\.|$)')


def _value(message: Any, path: str) -> str:  # noqa: ANN401  (a message of any type)
    """The text of the field at a path such as ``parameters["k"]`` or ``input[0].dims``."""
    from google.protobuf.message import Message
    from google.protobuf.text_format import MessageToString

    value = message
    for step in _STEP.finditer(path):
        value = getattr(value, step[1])
        if step[2] is not None:
            value = value[int(step[2])]
        elif step[3] is not None:
            value = value[step[3]]
    if isinstance(value, Message):
        return MessageToString(value, as_one_line=True)
    if isinstance(value, str | int | float):
        return str(value)
    return "[" + ", ".join(str(item) for item in value) + "]"
