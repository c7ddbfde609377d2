"""Linted models, kept small: what the rules of a whole repository need of each, as bytes."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tritongen.config.lint.linted_model import LintedModel, VersionFolder
from tritongen.config.lint.repository_view import ModelView
from tritongen.config.pbtxt import ParsedConfig
from tritongen.config.protobuf import new_model_config
from tritongen.model.findings import Finding

# Fields that rules over several models point at.
_POINTED_AT = ("ensemble_scheduling", "instance_group", "max_batch_size", "parameters")


@dataclass(frozen=True, slots=True)
class _Kept:
    """One model: `config` is its message, `lines` a JSON object from field to line."""

    path: str
    config: bytes
    lines: bytes
    findings: tuple[Finding, ...]
    served: tuple[VersionFolder, ...]
    written: bool
    callees: tuple[str, ...]


class Shelf(Mapping[str, LintedModel]):
    """Models by name, each made anew when it is asked for, without text, files and facts.

    A message takes several kilobytes, and a repository may have thousands.
    """

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def put(self, model: LintedModel) -> None:
        """Keep one model."""
        parsed = model.parsed
        lines = {path: line for path, line in parsed.lines.items() if path.startswith(_POINTED_AT)}
        self._kept[model.name] = _Kept(
            path=parsed.path,
            config=model.config.SerializeToString(deterministic=True),
            lines=json.dumps(lines, separators=(",", ":")).encode(),
            findings=parsed.findings,
            served=model.served,
            written=model.written,
            callees=model.callees,
        )

    def __getitem__(self, name: str) -> LintedModel:
        kept = self._kept[name]
        config = new_model_config()
        config.ParseFromString(kept.config)
        return LintedModel(
            view=ModelView(name, None),
            parsed=ParsedConfig(kept.path, config, json.loads(kept.lines), kept.findings),
            config=config,
            versions=kept.served,
            served=kept.served,
            written=kept.written,
            callees=kept.callees,
        )

    def __contains__(self, name: object) -> bool:
        return name in self._kept

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)
