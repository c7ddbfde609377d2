"""`check` for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritongen.api import arguments
from tritongen.api.arguments import DEFAULT_REPOSITORY, StrPath
from tritongen.api.result import ApiResult
from tritongen.config.lint import as_document
from tritongen.errors import ExitCode, InvalidInputError
from tritongen.model.code_choice import CodeChoice, codes_of
from tritongen.model.findings import Finding, Severity
from tritongen.repository.check import check_repository


@dataclass(frozen=True, slots=True)
class CheckedRepository(ApiResult):
    """What `check` found.

    Attributes:
        repository: folder that was checked.
        findings: that are told.
        ignored: findings that are not told.
        strict: whether warnings count as errors.
    """

    repository: Path
    findings: tuple[Finding, ...]
    ignored: tuple[Finding, ...] = ()
    strict: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """Whether there is an error."""
        bad = {Severity.ERROR, Severity.WARNING} if self.strict else {Severity.ERROR}
        failed = any(item.severity in bad for item in self.findings)
        return ExitCode.FINDINGS if failed else ExitCode.OK

    def _document(self) -> dict[str, object]:
        told = as_document(self.findings, self.repository.as_posix())
        return {**told, "ignored": len(self.ignored)}


def check(  # noqa: PLR0913  (the command's options, all but the first by name)
    repository: StrPath = DEFAULT_REPOSITORY,
    *,
    cpus: float | None = None,
    gpus: int | None = None,
    triton: str = "",
    auto_complete: bool = True,
    strict: bool = False,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    models: StrPath | None = None,
) -> CheckedRepository:
    """Lint any model repository.

    Args:
        repository: folder of model folders.
        cpus: cores of the container; the lock's when None.
        gpus: number of GPUs; the lock's when None.
        triton: release ``YY.MM`` that will serve it; the lock's, else the default, when empty.
        auto_complete: whether the server may complete configurations.
        strict: whether warnings count as errors for the exit code.
        select: codes or their beginnings to tell of; empty for what tritongen.yaml says, else all.
        ignore: codes or their beginnings not to tell of, beside those that tritongen.yaml ignores.
        models: folder of the tritongen.yaml whose `check` holds; the repository where it has one,
            else the folder that it was built from, when None.

    Raises:
        InvalidInputError: TG002 no such folder, TG708 it holds no models, TG704 its lock cannot be
            read, TG009 an argument, or faults in tritongen.yaml.
    """
    arguments.refuse_unless_positive(cpus=cpus)
    place = Path(repository)
    found = check_repository(
        arguments.existing_folder(place),
        release=triton,
        cores=cpus,
        gpus=gpus,
        autocomplete=auto_complete,
        models=arguments.existing_folder(Path(models)) if models is not None else None,
        choice=CodeChoice(_codes("select", select), _codes("ignore", ignore)),
    )
    return CheckedRepository(place, found.findings, found.ignored, strict)


def _codes(name: str, given: Sequence[str]) -> tuple[str, ...]:
    try:
        return codes_of(",".join(given)) if given else ()
    except ValueError as problem:
        raise InvalidInputError("TG009", str(problem), where=name) from None
