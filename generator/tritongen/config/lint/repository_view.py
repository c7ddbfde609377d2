"""What `check` is given: model folders read by somebody else, and what is known of the server."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tritongen.model.evidence import Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.releases import Release


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model folder.

    Attributes:
        name: of the folder.
        config: text of `config.pbtxt`, None when there is none; decoded as UTF-8 with
            ``errors="replace"``. Reading more than `MAX_CONFIG_BYTES` + 1 of it is needless.
        files: bytes of every file below the folder, at any depth, by its path with ``/`` relative
            to the folder; symbolic links count as their targets.
        directories: names of the folder's direct subfolders, empty ones too.
        facts: what inspection says of the main file of the newest version; None when it was not
            inspected. Inputs and outputs of the configuration are then compared with it.
        variants: (path relative to the model's folder, text) of `configs/*.pbtxt`.
        trial: what a runtime has said of that file, None when it was not run. Where it reports
            another shape than the file declares, the runtime is right.
    """

    name: str
    config: str | None
    files: Mapping[str, int] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    facts: ModelFacts | None = None
    variants: tuple[tuple[str, str], ...] = ()
    trial: Trial | None = None

    def has_folder(self, path: str) -> bool:
        """Whether a folder holds at least one file."""
        return any(file.startswith(f"{path}/") for file in self.files)

    def exists(self, path: str) -> bool:
        """Whether there is such a file, or such a folder with a file in it."""
        return path in self.files or self.has_folder(path)


@dataclass(frozen=True, slots=True)
class LintContext:
    """The server that the repository is checked for.

    Attributes:
        release: Triton's release; decides which fields, parameters and types exist.
        cores: CPU budget that the thread rule is held against; None leaves the sum unchecked.
        gpus: number of GPUs; None when unknown, which accepts any GPU.
        autocomplete: whether Triton may fill in what a configuration leaves out (its default).
        rate_limiter: whether the server runs with ``--rate-limit=execution_count``.
        resources: (name, count) given with ``--rate-limit-resource``.
        cache: whether the server has a response cache (``--cache-config``); None when unknown.
        host_policies: names defined with ``--host-policy`` beyond Triton's own.
        backends: backends installed in the server; None stands for the release's ``-py3`` image.
        agents: repository agents installed in the server.
        environment: (variable, value) of the server, which limits the threads of some backends.
    """

    release: Release
    cores: float | None = None
    gpus: int | None = None
    autocomplete: bool = True
    rate_limiter: bool = False
    resources: tuple[tuple[str, int], ...] = ()
    cache: bool | None = None
    host_policies: tuple[str, ...] = ()
    backends: frozenset[str] | None = None
    agents: frozenset[str] = frozenset({"checksum"})
    environment: tuple[tuple[str, str], ...] = ()
