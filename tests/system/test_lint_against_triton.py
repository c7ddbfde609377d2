"""The verdicts of `check` against a real Triton: both must refuse the same configurations.

Many models share one server, because Triton takes seconds to give a refused Python model up, and
loads them side by side.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import pytest

from support.lint import codes, context, view_of
from support.lint_cases import Case
from support.lint_table import CASES, ELSEWHERE, SERVER
from support.triton import start_server, write_model
from tritongen.config.lint import lint
from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity
from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime
from tritongen.triton.server import ModelStatus

GROUP = 45
SERVERS = 6
# Starts for one verdict: Triton 2.51 crashes in a few of a hundred starts with models it refuses.
ATTEMPTS = 3
LATE = tuple(case for case in CASES if case.late)
SAFE = tuple(case for case in CASES if not case.late)


@dataclass
class Verdicts:
    """What server and lint say of each case; a group of cases is served at once when first asked.

    Attributes:
        runtime: of the server.
        folder: for repositories and logs.
        statuses: the server's, by model.
        logs: the server's, by model; it alone holds some reasons.
        findings: the lint's, by model.
    """

    runtime: EmbeddedRuntime
    folder: Path
    statuses: dict[str, ModelStatus] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    findings: dict[str, list[Finding]] = field(default_factory=dict)

    def of(self, case: Case) -> tuple[ModelStatus, list[Finding]]:
        if case.name not in self.statuses and case.late:
            with ThreadPoolExecutor(SERVERS) as pool:
                list(pool.map(self._serve_alone, LATE))
        elif case.name not in self.statuses:
            start = SAFE.index(case) // GROUP * GROUP
            self._serve_group(SAFE[start : start + GROUP], self.folder / str(start))
        return self.statuses[case.name], self.findings.get(case.name, [])

    def _serve_group(self, cases: tuple[Case, ...], folder: Path) -> None:
        """One server for many models; where Triton crashed, another gives the verdicts."""
        for attempt in range(ATTEMPTS):
            try:
                self._serve(cases, folder / str(attempt))
            except EnvironmentProblem as problem:
                if problem.code != "TG812" or attempt == ATTEMPTS - 1:
                    raise
            else:
                return

    def _serve_alone(self, case: Case) -> None:
        """A server for one model; its end is a refusal, too.

        The race that `Case.late` speaks of may go any way: one refusal in a few starts counts.
        """
        for attempt in range(ATTEMPTS):
            try:
                self._serve((case,), self.folder / case.name / str(attempt))
            except EnvironmentProblem as problem:
                if problem.code != "TG812":
                    raise
                reason = problem.what if case.ends else case.words
                self.statuses[case.name] = ModelStatus(case.name, ready=False, reason=reason)
            if not self.statuses[case.name].ready:
                return

    def _serve(self, cases: tuple[Case, ...], folder: Path) -> None:
        models = {item.name: item for case in cases for item in (case, *case.needs)}
        folder.mkdir(parents=True, exist_ok=True)
        # A start that failed for a reason of its own does not take the next case with it.
        repository = Path(mkdtemp(prefix="repository-", dir=folder))
        for model in models.values():
            write_model(repository, model.name, model.config, model.files)
        found = lint(view_of(repository, SERVER["release"]), context(**SERVER))
        for name in models:
            self.findings[name] = [item for item in found if item.model == name]
        flags = (("model-load-thread-count", "16"),)
        with start_server(repository, folder / "project", runtime=self.runtime, flags=flags) as run:
            self.statuses.update({status.name: status for status in run.statuses})
            self.logs.update(dict.fromkeys(models, "\n".join(run.server.logs(100_000))))


@pytest.fixture(scope="module")
def verdicts(embedded_runtime, tmp_path_factory) -> Verdicts:
    return Verdicts(embedded_runtime, tmp_path_factory.mktemp("verdicts"))


# The first group, which one server judges, is the smoke test.
SMOKE = {case.name for case in SAFE[:GROUP]}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[pytest.mark.smoke] if case.name in SMOKE else [])
        for case in CASES
    ],
)
def test_same_verdict(verdicts, case: Case):
    status, found = verdicts.of(case)
    refused = Severity.ERROR in {item.severity for item in found}
    assert refused is not status.ready, (status.reason, found)
    if status.ready:
        assert set(case.codes) <= codes(found)
    else:
        assert case.words
        assert case.words in status.reason or case.words in verdicts.logs[case.name]


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        (
            "resource_global_and_per_device",
            (),
            'Resource "R1" is present as both global and device-specific',
        ),
        ("resource_below_need", (("rate-limit-resource", "R1:1"),), "R1"),
    ],
)
def test_resources(embedded_runtime, tmp_path, name, flags, words):
    """Only a server with its rate limiter on looks at resources."""
    case = next(case for case in ELSEWHERE if case.name == name)
    repository = tmp_path / "repository"
    write_model(repository, name, case.config, case.files)
    limited = (("rate-limit", "execution_count"), *flags)
    with start_server(
        repository, tmp_path / "project", runtime=embedded_runtime, flags=limited
    ) as run:
        assert not run.statuses[0].ready
        assert words in "\n".join((run.statuses[0].reason, *run.server.logs(1000)))
    found = lint(view_of(repository), context(**{**SERVER, **case.server}))
    assert codes(found, Severity.ERROR) == {case.code}
