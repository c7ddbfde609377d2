"""`config.pbtxt`: from text to message, with every fault and every field's line."""

from tritongen.config.pbtxt.parsed_config import ConfigMessage, ParsedConfig, map_path
from tritongen.config.pbtxt.parser import ConfigParser
from tritongen.config.pbtxt.text_faults import TextFaults
from tritongen.config.pbtxt.tokens import tokenize
from tritongen.config.protobuf import new_model_config
from tritongen.model.findings import Finding, Location, Severity

__all__ = ["MAX_CONFIG_BYTES", "ConfigMessage", "ParsedConfig", "map_path", "parse_config"]

# A configuration has a few kilobytes; this many are a mistake or an attack. Whoever reads the file
# need not read more than this and one byte.
MAX_CONFIG_BYTES = 4 * 2**20


def parse_config(text: str, path: str) -> ParsedConfig:
    """Reads the text of one configuration; never raises for what the text holds.

    Args:
        text: of the file; bytes that are no UTF-8 stand as U+FFFD (``errors="replace"``).
        path: of the file, for the findings.
    """
    message = new_model_config()
    if len(text) > MAX_CONFIG_BYTES:
        return ParsedConfig(path, message, {}, (_too_large(path),))
    faults = TextFaults(path)
    parser = ConfigParser(tokenize(text), faults)
    parser.parse(message)
    return ParsedConfig(path, message, parser.lines, tuple(faults.findings))


def _too_large(path: str) -> Finding:
    limit = MAX_CONFIG_BYTES // 2**20
    return Finding(
        "TG466",
        Severity.ERROR,
        f"the file is larger than {limit} MiB and was not read",
        location=Location(path),
    )
