"""Names under which a model can be served."""

import re

from tritongen.model.findings import Finding, Severity, finding

_SERVABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REPLACED = re.compile(r"[^A-Za-z0-9_.-]+")

# A file name may have 255 bytes; the rest is room for the suffix of a file being written.
_MAX_NAME_CHARACTERS = 200

# `GET /v2/models/stats` answers with every model's statistics, and the other names are files that
# stand beside the models in a repository.
_RESERVED = frozenset({"stats", "tritongen.lock", "tritongen.yaml"})


def name_fault(name: str) -> Finding | None:
    """Why a model cannot be served under a name, None when it can.

    Triton takes the name of the model's folder, puts it into URLs without decoding them, and
    refuses ``..`` and ``/``.
    """
    if name in _RESERVED:
        message = f"a model cannot be named {name!r}: Triton or tritongen uses that name itself"
        return finding("TG126", Severity.ERROR, message, model=name)
    if _SERVABLE.fullmatch(name) and len(name) <= _MAX_NAME_CHARACTERS:
        return None
    if len(name) > _MAX_NAME_CHARACTERS:
        return finding(
            "TG106",
            Severity.ERROR,
            f"the model's name has {len(name)} characters",
            fix=f"Rename the folder or file to at most {_MAX_NAME_CHARACTERS} characters.",
            model=name,
        )
    suggestion = _REPLACED.sub("_", name).strip("._-")
    fix = f"Rename it, for instance to {suggestion}." if suggestion else ""
    return finding("TG106", Severity.ERROR, f"{name!r}: {_why(name)}", fix=fix, model=name)


def _why(name: str) -> str:
    if not name:
        return "the name is empty"
    if not name.isascii():
        return "the name has characters beyond ASCII, which URLs cannot carry unencoded"
    if name[0] in ".-":
        return f"the name starts with {name[0]!r}"
    found = sorted({char for char in name if _REPLACED.fullmatch(char)})
    return "the name contains " + ", ".join(repr(char) for char in found)
