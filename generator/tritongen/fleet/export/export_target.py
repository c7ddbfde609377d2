"""What a target of `tritongen export` consists of: files from templates, every value quoted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tritongen.fleet.export.deployment import Deployment
from tritongen.model.findings import Finding
from tritongen.model.printable import json_text
from tritongen.resources import template_text

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of an export; `path` is relative to the folder that is written."""

    path: str
    text: str


def quote(value: object) -> str:
    """A value as JSON, which YAML reads as the same value: no text can end its quotes."""
    return json_text(value)


def quote_compose(value: object) -> str:
    """The same where ``$`` begins a variable of Compose."""
    return quote(value).replace("$", "$$")


def quote_kubernetes(value: object) -> str:
    """The same where ``$(`` begins a variable of Kubernetes."""
    return quote(value).replace("$(", "$$(")


def render(template: str, values: Mapping[str, object]) -> str:
    """The text of a template.

    Args:
        template: path below templates/.
        values: by the names that the template uses.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    # YAML and JSON, no HTML: every value goes through a filter that quotes it.
    environment = Environment(  # noqa: S701  (YAML and JSON, not HTML)
        loader=FunctionLoader(template_text),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["q"] = quote
    environment.filters["qc"] = quote_compose
    environment.filters["qk"] = quote_kubernetes
    return environment


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """One target; what else people should know of it is its module's docstring.

    Attributes:
        summary: what it is, for people.
        files: renders everything.
        deploy: commands that bring it up, run in the folder that was written; ``FOLDER/`` stands
            for each of `folders`.
        copies: whether a claim of the cluster then waits for the models.
        folders: of a deployment, each with a slash; one without a name where everything is in one.
        findings: what of a deployment the target refuses or limits; errors forbid writing.
    """

    summary: str
    files: Callable[[Deployment], tuple[ExportFile, ...]]
    deploy: tuple[str, ...]
    findings: Callable[[Deployment], Iterable[Finding]] = lambda _: ()
    copies: bool = False
    folders: Callable[[Deployment], tuple[str, ...]] = lambda _: ("",)
