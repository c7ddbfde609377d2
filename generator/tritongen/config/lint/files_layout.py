"""Folders and files: versions, model files, data files."""

from collections.abc import Iterator

from tritongen.config.lint.inputs_outputs import escapes, normal
from tritongen.config.lint.linted_model import (
    RESERVED_FOLDERS,
    UNREGISTERED,
    LintedModel,
    is_oversized,
    version_number,
)
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import map_path
from tritongen.model.backends.fil import FIL_FILES
from tritongen.model.findings import Finding

_STRAY_ENDINGS = ("~", ".swp", ".swo", ".bak", ".orig", ".rej", ".tmp")
_STRAY_NAMES = frozenset({".DS_Store", "Thumbs.db"})


def version_names(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Folders that Triton ignores or reads as another number."""
    counted = model.versions.values()
    for folder in sorted(model.view.directories):
        if folder in RESERVED_FOLDERS:
            continue
        number = version_number(folder)
        if number is None:
            if is_oversized(folder):
                continue
            if folder[:1].isdigit() or folder[:1] in {"v", "V"}:
                yield model.folder_warning(
                    "TG619",
                    f'folder "{folder}" is no version for Triton and is ignored',
                    path=folder,
                )
        elif str(number) != folder:
            also = "" if folder in counted else f', beside the folder "{number}"'
            yield model.folder_warning(
                "TG618", f'folder "{folder}" is taken for version {number}{also}', path=folder
            )


def oversized_versions(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Triton does not survive a number that its 64 bits cannot hold."""
    for folder in sorted(model.view.directories):
        if is_oversized(folder):
            yield model.folder_error(
                "TG469", f'folder "{folder}" begins with a number beyond 64 bits', path=folder
            )


def served_versions(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """The version policy must leave a version, and its folder must carry the number's name."""
    if not model.served and not any(map(is_oversized, model.view.directories)):
        policy = model.config.version_policy
        if not model.versions:
            message = "there is no version folder"
        elif policy.WhichOneof("policy_choice") == "latest":
            message = "version_policy latest with num_versions 0 selects no version"
        else:
            message = "version_policy lists no version that exists"
        yield _at_policy(model, f"at least one version must be available: {message}")
        return
    for number, folder in model.served.items():
        if number < 0:
            message = f'"{folder}" is taken for version {number}; Triton looks for {number % 2**64}'
            yield model.folder_error("TG453", f"folder {message}", path=folder)
        elif folder != str(number):
            message = (
                f'version {number} is served, but its folder is called "{folder}": '
                f'Triton looks for "{number}"'
            )
            yield model.folder_error("TG453", message, path=folder)


def _at_policy(model: LintedModel, message: str) -> Finding:
    if model.config.HasField("version_policy") and model.versions:
        return model.error("TG452", "version_policy", message)
    return model.folder_error("TG452", message)


def listed_versions(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A listed version that does not exist is only logged."""
    for field, number in model.each("version_policy.specific.versions"):
        if number not in model.versions and model.served:
            yield model.warning(
                "TG620", field, f"version {number} is listed, and there is no folder for it"
            )


def model_file(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Each served version holds the file that the backend opens."""
    config = model.config
    filename = config.default_model_filename
    if model.is_ensemble or not config.backend:
        return
    if config.backend == "fil" and not filename:
        filename = FIL_FILES.get(model.parameters.get("model_type", "xgboost"), "")
    written = "default_model_filename" in model.parsed.lines
    if not filename:
        return
    if escapes(filename):
        yield model.error(
            "TG459", "default_model_filename", f'"{filename}" leaves the version folder'
        )
        return
    # Without default_model_filename these name the file by themselves or need none.
    if config.backend in UNREGISTERED and not written:
        return
    by_gpu = sorted(config.cc_model_filenames.items())
    names = (filename, "model.py") if _python_runtime(model) else (filename,)
    for folder in model.served.values():
        for capability, name in by_gpu:
            if not model.view.exists(f"{folder}/{normal(name)}"):
                field = map_path("cc_model_filenames", capability)
                yield model.error("TG454", field, f"{folder}/{name} does not exist")
        if not by_gpu and not any(model.view.exists(f"{folder}/{normal(name)}") for name in names):
            yield _missing(model, filename, folder, written)


def _python_runtime(model: LintedModel) -> bool:
    """The PyTorch backend's Python flavour opens `model.py` first."""
    return bool(model.config.backend == "pytorch" and model.config.runtime == "model.py")


def _missing(model: LintedModel, filename: str, folder: str, written: bool) -> Finding:
    path, inside = f"{folder}/{normal(filename)}", f"{folder}/"
    others = sorted(
        file.removeprefix(inside) for file in model.view.files if file.startswith(inside)
    )
    found = f"; the folder holds {', '.join(others[:3])}" if others else "; the folder is empty"
    message = f'{path} does not exist, and backend "{model.config.backend}" opens it{found}'
    same_kind = [name for name in others if name.rpartition(".")[2] == filename.rpartition(".")[2]]
    fix = f"Rename {same_kind[0]}, or set default_model_filename." if same_kind else ""
    if written:
        return model.error("TG454", "default_model_filename", message, fix)
    return model.folder_error("TG454", message, fix, path=path)


def stray_files(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Files of editors and file managers change the folder's time, which reloads the model."""
    for path in model.view.files:
        name = path.rpartition("/")[2]
        if name in _STRAY_NAMES or name.endswith(_STRAY_ENDINGS):
            yield model.folder_info(
                "TG649",
                f"{name} is no part of a model; in poll mode it triggers reloads",
                path=path,
            )
