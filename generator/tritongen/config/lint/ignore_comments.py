"""Comments in config.pbtxt that say what not to tell: `# tritongen: ignore TG531 (reason)`."""

import re
from collections.abc import Iterator

from tritongen.config.lint.linted_model import CONFIG_FILE
from tritongen.config.lint.repository_view import ModelView
from tritongen.config.pbtxt_tokens import comments
from tritongen.model.code_choice import Ignore, listed_codes
from tritongen.model.findings import Finding, Location, Severity, finding

_ADDRESSED = re.compile(r"#+\s*tritongen:(?P<said>.*)", re.IGNORECASE)
_IGNORE = re.compile(r"\s*ignore\b(?P<codes>.*)", re.IGNORECASE)


def ignore_comments(view: ModelView) -> tuple[list[Ignore], list[Finding]]:
    """What the comments of a model's configuration and its variants ignore, and their faults."""
    ignores: list[Ignore] = []
    faults: list[Finding] = []
    for relative, text in ((CONFIG_FILE, view.config or ""), *view.variants):
        path = f"{view.name}/{relative}"
        # What holds for the whole configuration holds for the files beside it.
        whole = view.name if relative == CONFIG_FILE else path
        for line, said, for_line in _addressed(text):
            try:
                match = _IGNORE.fullmatch(said)
                if match is None:
                    raise ValueError(f"{said.strip()!r} is nothing that tritongen can do")
                codes, reason = listed_codes(match["codes"])
            except ValueError as problem:
                faults.append(_fault("TG657", view.name, path, line, str(problem)))
                continue
            scope = path if for_line else whole
            ignores.append(Ignore(codes, Location(path, line), scope, for_line))
            if not reason:
                what = f"{', '.join(codes)} is ignored without a reason"
                faults.append(_fault("TG655", view.name, path, line, what))
    return ignores, faults


def _addressed(text: str) -> Iterator[tuple[int, str, int]]:
    """Comments to this tool: line, what is said, and the line that it is for."""
    if _ADDRESSED.search(text):  # few texts have one, and the rest need no tokens for it
        for line, comment, for_line in comments(text):
            if match := _ADDRESSED.fullmatch(comment):
                yield line, match["said"], for_line


def _fault(code: str, model: str, path: str, line: int, message: str) -> Finding:
    return finding(code, Severity.WARNING, message, model=model, path=path, line=line)
