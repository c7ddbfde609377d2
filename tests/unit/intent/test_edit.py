"""New rates in tritongen.yaml: in their place, with everything else as it was."""

import pytest

from tritongen.errors import InvalidInputError
from tritongen.intent.edit import with_rates
from tritongen.intent.reader import parse_intent

OURS = """\
# What we serve.
target: {cpus: 4}   # one machine

models:
  ocr:              # pages
    rate: {average: 40, peak: 80}   # from the contract
    latency: 100ms
  empty: {}         # nothing said yet
  bare:
  short:
    rate: 5         # a guess
  flow: {latency: 20ms}   # one line
  long:
    rate:
      average: 1    # first
      peak: 2
    # after the rate
    latency: 5ms

# The end.
"""


def changed(text: str, **rates: tuple[float, float]) -> str:
    return with_rates(text, rates, "tritongen.yaml")


def test_a_rate_is_replaced_and_nothing_else() -> None:
    text = changed(OURS, ocr=(55.5, 120.0))
    old = "rate: {average: 40, peak: 80}   # from the contract"
    assert text == OURS.replace(old, "rate: {average: 55.5, peak: 120}   # from the contract")


@pytest.mark.parametrize("model", ["ocr", "empty", "bare", "short", "flow", "long", "unheard-of"])
def test_every_way_to_write_a_model(model: str) -> None:
    text = changed(OURS, **{model: (12.0, 34.0)})
    intent = parse_intent(text, "tritongen.yaml").intent
    assert (intent.of(model).rate, intent.of(model).peak_rate) == (12.0, 34.0)
    for comment in ("# What we serve.", "# one machine", "# pages", "# one line", "# The end."):
        assert comment in text
    if model == "long":
        assert "# after the rate" in text
        assert intent.of("long").latency_ms == 5.0


def test_several_models_at_once() -> None:
    intent = parse_intent(changed(OURS, empty=(1.0, 2.0), bare=(3.0, 4.0)), "x").intent
    assert intent.of("bare").peak_rate == 4.0
    assert intent.of("empty").rate == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "target: {cpus: 2}",
        "models:\n",
        "models: {}\n",
        "models: {a: {latency: 5ms}}",
    ],
)
def test_documents_without_the_model(text: str) -> None:
    after = changed(text, ocr=(1.5, 3.0))
    assert parse_intent(after, "x").intent.of("ocr").peak_rate == 3.0


def test_a_name_that_yaml_would_take_for_a_number() -> None:
    after = changed("", **{"1.0": (1.0, 2.0)})
    assert parse_intent(after, "x").intent.of("1.0").rate == 1.0


def test_what_shares_its_value_by_an_alias_is_refused() -> None:
    text = "models:\n  a: {rate: &r {average: 1, peak: 2}}\n  b: {rate: *r}\n"
    with pytest.raises(InvalidInputError) as caught:
        changed(text, a=(5.0, 6.0))
    assert caught.value.code in {"TG301", "TG979"}
