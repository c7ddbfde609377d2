"""`1e9` is text to YAML 1.1: the message says how to write such a number."""

from pathlib import Path

from tritongen.intent import read_intent


def test_an_exponent_without_a_sign_is_told_how_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "tritongen.yaml"
    path.write_text("models: {ocr: {rate: 1e3}}\n")
    (fault,) = read_intent(path).faults
    assert "1.0e+9" in str(fault)
    path.write_text("models: {ocr: {rate: 1.0e+3}}\n")
    assert read_intent(path).intent.of("ocr").rate == 1000.0
