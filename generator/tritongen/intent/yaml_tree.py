"""YAML text → plain values with the line of each, within bounds.

Aliases are allowed but every visit of a node counts, so that a document whose aliases would
unfold without end is refused instead of unfolded.
"""

from dataclasses import dataclass

import yaml

from tritongen.errors import InvalidInputError
from tritongen.model.merge_marks import CODE, merge_marks

# Chosen: some thousand models with all their keys fit within, and reading takes seconds at most.
MAX_BYTES = 1_000_000
MAX_NODES = 200_000
# Chosen: the deepest key has ten levels above it, an overlay some more.
MAX_DEPTH = 40
# Chosen: no number here needs as many signs, and each is a floating-point number, too. The time to
# read one grows with the square of its length, in base 60 (``1:30:00``) at once.
MAX_NUMBER_LENGTH = 100
_NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_SHOWN_CHARACTERS = 40

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A parsed document.

    Attributes:
        value: plain values; mappings have text keys.
        lines: 1-based line of each value, by dotted path; list items are ``path[0]``.
        duplicates: (path, line) of keys that occur twice in one mapping.
    """

    value: Plain
    lines: dict[str, int]
    duplicates: tuple[tuple[str, int], ...]


def parse(text: str, where: str) -> YamlDocument:
    """Parse a document.

    Raises:
        InvalidInputError: TG301 for text that is not YAML, TG302 beyond the bounds, TG710 for one
            that git could not merge.
    """
    if len(text) > MAX_BYTES:
        what = f"the file has {len(text):,} characters; the limit is {MAX_BYTES:,}"
        raise InvalidInputError("TG302", what, where=where)
    if conflict := merge_marks(text):
        raise InvalidInputError(CODE, conflict, where=where)
    loader = yaml.CSafeLoader(text)
    try:
        root = loader.get_single_node()
        walker = _Walker(where, loader)
        value: Plain = {} if root is None else walker.value(root, "", 0)
        return YamlDocument(value, walker.lines, tuple(walker.duplicates))
    except yaml.YAMLError as problem:
        raise InvalidInputError("TG301", _describe(problem), where=where) from problem
    except RecursionError as problem:
        raise InvalidInputError("TG302", "the file is nested too deeply", where=where) from problem
    finally:
        loader.dispose()


def _describe(problem: yaml.YAMLError) -> str:
    if isinstance(problem, yaml.MarkedYAMLError) and problem.problem_mark is not None:
        mark = problem.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem.problem or 'not YAML'}"
    return " ".join(str(problem).split())


class _Walker:
    """Turns nodes into plain values and remembers their lines."""

    def __init__(self, where: str, loader: yaml.CSafeLoader) -> None:
        self._where = where
        self._loader = loader
        self.lines: dict[str, int] = {}
        self.duplicates: list[tuple[str, int]] = []
        self._visits = 0

    def value(self, node: yaml.Node, path: str, depth: int) -> Plain:
        self._visits += 1
        if self._visits > MAX_NODES or depth > MAX_DEPTH:
            raise InvalidInputError(
                "TG302", "the file unfolds to too many or too deep values", where=self._where
            )
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, f"{path}[{index}]", depth + 1)
                for index, item in enumerate(node.value)
            ]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Plain]:
        result: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
            inner = f"{path}.{key}" if path else key
            line = key_node.start_mark.line + 1
            if key in result:
                self.duplicates.append((inner, line))
            result[key] = self.value(value_node, inner, depth + 1)
            self.lines[inner] = line
        return result

    def _scalar(self, node: yaml.Node) -> Scalar:
        text = str(node.value)
        if node.tag in _NUMBERS and len(text) > MAX_NUMBER_LENGTH:
            what = f"a number of {len(text):,} characters; the limit is {MAX_NUMBER_LENGTH}"
            raise self._refused(node, what, "Shorten it, or quote it where it is text.")
        try:
            value: object = self._loader.construct_object(node)
        except yaml.YAMLError:
            raise
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            # What PyYAML raises of text that its tag does not fit, such as !!int "abc".
            kind = str(node.tag).rpartition(":")[2]
            shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
            raise self._refused(node, f"{shown!r} is no value of the type !!{kind}") from None
        # Dates and bytes are YAML types that no key here takes; their text says what was written.
        return value if isinstance(value, str | int | float | bool | None) else text

    def _refused(self, node: yaml.Node, what: str, fix: str = "") -> InvalidInputError:
        mark = node.start_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}"
        return InvalidInputError("TG301", f"{place}: {what}", where=self._where, fix=fix)
