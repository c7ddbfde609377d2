"""YAML text → plain values with the line of each, within bounds.

Aliases are allowed but every visit of a node counts, so that a document whose aliases would
unfold without end is refused instead of unfolded.
"""

from dataclasses import dataclass

import yaml

from tritongen.errors import InvalidInputError

MAX_BYTES = 1_000_000
MAX_NODES = 200_000
MAX_DEPTH = 40

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document.

    Attributes:
        value: plain values; mappings have text keys.
        lines: 1-based line of each value, by dotted path; list items are ``path[0]``.
        duplicates: (path, line) of keys that occur twice in one mapping.
    """

    value: Plain
    lines: dict[str, int]
    duplicates: tuple[tuple[str, int], ...]


def parse(text: str, where: str) -> Document:
    """Parse a document.

    Raises:
        InvalidInputError: TG301 for text that is not YAML, TG302 beyond the bounds.
    """
    if len(text) > MAX_BYTES:
        raise InvalidInputError(
            "TG302",
            f"the file has {len(text):,} characters; the limit is {MAX_BYTES:,}",
            where=where,
        )
    loader = yaml.CSafeLoader(text)
    try:
        root = loader.get_single_node()
        return _Walker(where, loader).document(root)
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
        self._lines: dict[str, int] = {}
        self._duplicates: list[tuple[str, int]] = []
        self._visits = 0

    def document(self, root: yaml.Node | None) -> Document:
        value: Plain = {} if root is None else self._value(root, "", 0)
        return Document(value, self._lines, tuple(self._duplicates))

    def _value(self, node: yaml.Node, path: str, depth: int) -> Plain:
        self._visits += 1
        if self._visits > MAX_NODES or depth > MAX_DEPTH:
            raise InvalidInputError(
                "TG302", "the file unfolds to too many or too deep values", where=self._where
            )
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self._value(item, f"{path}[{index}]", depth + 1)
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
                self._duplicates.append((inner, line))
            result[key] = self._value(value_node, inner, depth + 1)
            self._lines[inner] = line
        return result

    def _scalar(self, node: yaml.Node) -> Scalar:
        value: object = self._loader.construct_object(node)
        # Dates and bytes are YAML types that no key here takes; their text says what was written.
        return value if isinstance(value, str | int | float | bool | None) else str(node.value)
