"""Templates of texts that are not HTML."""

from functools import cache
from typing import TYPE_CHECKING

from tritongen.resources import template_text

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def plain_template(name: str) -> "Template":
    """A template of protobuf text, YAML or Python; whoever fills it in makes its values safe.

    Args:
        name: path below templates/.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701  (not HTML)
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["repr"] = repr
    return environment.from_string(template_text(name))
