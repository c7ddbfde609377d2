"""Pages that stand alone: one file of HTML, no script, nothing from a network."""

from functools import cache
from typing import TYPE_CHECKING

from tritongen.model.printable import printable_page
from tritongen.resources import template_text

if TYPE_CHECKING:
    from jinja2 import Environment


def render_page(name: str, **values: object) -> str:
    """The text of a page; every value is escaped.

    Args:
        name: of its template below ``templates/pages``, without the suffix.
        values: by the names that the template uses.
    """
    return printable_page(_environment().get_template(f"pages/{name}.html.j2").render(values))


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader  # only pages need it

    return Environment(
        loader=FunctionLoader(template_text),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
