"""`explain` for programs."""

from dataclasses import dataclass
from pathlib import Path

from tritongen.api.arguments import DEFAULT_REPOSITORY, StrPath, models_path
from tritongen.api.documents import findings_json
from tritongen.api.result import ApiResult
from tritongen.errors import CODES, Code, InvalidInputError
from tritongen.errors.explanations import CodePage, explanations
from tritongen.model.code_choice import near_codes
from tritongen.model.codec import view
from tritongen.model.findings import Finding
from tritongen.repository import explain as room


@dataclass(frozen=True, slots=True)
class ExplainedModel(ApiResult):
    """Every explained value of one model, the server's included.

    Attributes:
        model: its name.
        values: each with its reason.
        findings: of the model and its plan.
    """

    model: str
    values: tuple[room.Explanation, ...]
    findings: tuple[Finding, ...]

    def _document(self) -> dict[str, object]:
        return {
            "model": self.model,
            "values": [
                {
                    **view(item, "field", "value"),
                    "source": item.reason.source,
                    "reason": item.reason.sentence,
                    "numbers": dict(item.reason.numbers),
                }
                for item in self.values
            ],
            "findings": findings_json(self.findings),
        }


@dataclass(frozen=True, slots=True)
class ExplainedCode(ApiResult):
    """What a code stands for.

    Attributes:
        code: with its title and its general fix.
        page: what it means, with examples; both empty where there is nothing more to say.
    """

    code: Code
    page: CodePage

    def _document(self) -> dict[str, object]:
        return {**view(self.code, "id", "title", "fix"), **view(self.page, "meaning", "examples")}


def explain(
    model: str,
    field: str = "",
    *,
    models: StrPath | None = None,
    repository: StrPath = DEFAULT_REPOSITORY,
) -> ExplainedModel:
    """Why every value of a model's configuration is what it is.

    Args:
        model: its name.
        field: part of the path of the fields to explain; empty for all.
        models: models folder; the one that the repository was built from when None.
        repository: whose lock holds the evidence.

    Raises:
        InvalidInputError: TG002 no such folder, TG306 no such model, or it cannot be served,
            TG304 no such field.
    """
    place = Path(repository)
    found = room.explain(models_path(models, place), place, model, field)
    return ExplainedModel(found.model, found.values, found.findings)


def explain_code(code: str) -> ExplainedCode:
    """What a code stands for, and what to do.

    Args:
        code: such as ``TG510``.

    Raises:
        InvalidInputError: TG009, there is no such code.
    """
    wanted = code.upper()
    known = CODES.get(wanted)
    if known is None:
        near = ", ".join(near_codes(wanted))
        raise InvalidInputError("TG009", f"there is no code {wanted}", fix=f"Near it: {near}.")
    return ExplainedCode(known, explanations().get(known.id, CodePage("", ())))
