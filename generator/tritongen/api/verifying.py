"""`verify` for programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tritongen.api.arguments import DEFAULT_REPOSITORY, StrPath, existing_folder
from tritongen.api.code_notice import Notice, code_notice, log_notice
from tritongen.api.result import ApiResult
from tritongen.errors import ExitCode
from tritongen.model.codec import view
from tritongen.model.progress import Progress, silent
from tritongen.serving import verify as room
from tritongen.triton.access import Access, read_headers


@dataclass(frozen=True, slots=True)
class VerifiedRepository(ApiResult):
    """Triton's outputs beside those of a local run.

    Attributes:
        models: each with its verdict and the greatest difference of every output; once for each
            server where several were asked.
    """

    models: tuple[room.VerifiedModel, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Whether an output differs, or a model is stale or not compared."""
        return ExitCode.OK if all(model.ok for model in self.models) else ExitCode.FINDINGS

    def _document(self) -> dict[str, object]:
        return {"models": [_json(model) for model in self.models]}


def verify(
    repository: StrPath = DEFAULT_REPOSITORY,
    *,
    url: str = "",
    access: Access | None = None,
    data: Mapping[str, StrPath] = MappingProxyType({}),
    seed: int = 1,
    untrusted: bool = False,
    progress: Progress = silent,
    notice: Notice = log_notice,
) -> VerifiedRepository:
    """Compare Triton's outputs with a local run.

    Args:
        repository: that the server serves.
        url: addresses of servers elsewhere, with commas between them; this project's when empty.
        access: TLS and headers for them.
        data: files with inputs by model, by "" for any; else the samples of tritongen.yaml.
        seed: of made-up inputs.
        untrusted: run no code of the repository on this machine.
        progress: told of the download of a runtime.
        notice: told once that code of the repository runs; logged by default.

    Raises:
        InvalidInputError: TG002 no such folder, TG304 an address or a header, or what `data` names.
        EnvironmentProblem: no server answers, or the runtime for the local run is missing.
    """
    place = existing_folder(Path(repository))
    known = access or Access()
    read_headers((f"{name}: {value}" for name, value in known.headers.items()), None, "")

    def tell(name: str) -> None:
        if text := code_notice(place, {name}):
            notice(text)

    return VerifiedRepository(
        room.verify(
            Path.cwd(),
            place,
            endpoints=[known.endpoint(one) for one in url.split(",") if one],
            data={model: Path(path) for model, path in data.items()},
            seed=seed,
            code=not untrusted,
            tell=tell,
            progress=progress,
        )
    )


def _json(model: room.VerifiedModel) -> dict[str, object]:
    return {
        **view(model, "name", "ok", "verdict"),
        "outputs": [view(item, "name", "max_abs_diff") for item in model.outputs],
        "reason": model.reason,
        **({"server": model.server} if model.server else {}),
    }
