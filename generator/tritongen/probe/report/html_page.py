"""One self-contained HTML page: no script, nothing from a network."""

from collections.abc import Sequence
from dataclasses import dataclass

from tritongen.pages.html import render_page
from tritongen.pages.svg import Chart
from tritongen.probe.report.json_document import Environment
from tritongen.probe.report.probe_charts import charts_of
from tritongen.probe.report.text_table import HEADERS, by_model, details, row
from tritongen.probe.statistics.measurement import LevelResult, LevelVerdict

_BADGES = {
    LevelVerdict.VALID: "good",
    LevelVerdict.UNSTABLE: "unsure",
    LevelVerdict.TOO_FEW: "unsure",
    LevelVerdict.SATURATED: "bad",
    LevelVerdict.GENERATOR_LATE: "bad",
}


@dataclass(frozen=True, slots=True)
class ProbeSection:
    """One model on the page.

    Attributes:
        model: its name.
        rows: (cells of the table, badge of the verdict).
        notes: one list of lines a level.
        charts: its plots.
        answers: of a search.
    """

    model: str
    rows: list[tuple[tuple[str, ...], str]]
    notes: list[list[str]]
    charts: list[Chart]
    answers: list[str]


def html_page(
    environment: Environment,
    levels: Sequence[LevelResult],
    answers: Sequence[tuple[str, str]] = (),
) -> str:
    """The page.

    Args:
        environment: where and how it was measured.
        levels: what was measured.
        answers: (model, sentence) of a search.
    """
    sections = [
        ProbeSection(
            model,
            [(row(level), _BADGES[level.verdict]) for level in found],
            [details(level) for level in found],
            charts_of(found),
            [sentence for name, sentence in answers if name == model],
        )
        for model, found in by_model(levels).items()
    ]
    return render_page("probe", environment=environment, headers=HEADERS, sections=sections)
